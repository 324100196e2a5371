import Synchronization

/// How much a server may send, and how long it may take, to list one directory.
public struct ListingLimits: Sendable, Hashable {
    /// Of memory that the names take up, in bytes: for two million of ordinary length.
    public var bytes = 256 << 20
    /// What any listing may take: a disk may have to be woken up.
    public var patience = Duration.seconds(120)
    /// What each name may take besides.
    public var timePerName = Duration.milliseconds(20)

    public init() {}
}

extension SFTPSession {
    /// What a directory holds, without `.` and `..`, in no order.
    ///
    /// - Parameter limit: more entries than so many are a violation.
    /// - Throws: `status`; `protocolViolation` for names that can be none: empty, too
    ///   long, or with `/` or NUL, and for more than ``ListingLimits/bytes`` of them; `connectionLost` if
    ///   they come too slowly.
    public func entries(
        ofDirectory path: RemotePath, limit: Int = 5_000_000, within limits: ListingLimits = ListingLimits()
    ) async throws(SFTPError) -> [SFTPReply.Name] {
        guard case .handle(let handle) = try await request(.openDirectory(path)) else {
            throw SFTPError(.protocolViolation, "no handle for a directory")
        }
        defer { submit(.close(handle)) { _ in } }
        let listing = await withTaskGroup(of: Result<[SFTPReply.Name]?, SFTPError>.self) { group in
            var listing = DirectoryListing(path: path, limit: limit, limits)
            var asked = 0
            while true {
                while !listing.isOver, asked < listing.width {
                    asked += 1
                    group.addTask {
                        do throws(SFTPError) { return .success(try await self.names(handle)) } catch {
                            return .failure(error)
                        }
                    }
                }
                guard let answer = await group.next() else { return listing }
                asked -= 1
                listing.add(answer)
            }
        }
        if let failure = listing.failure { throw failure }
        return listing.names
    }

    /// nil: the end.
    private func names(_ handle: RemoteHandle) async throws(SFTPError) -> [SFTPReply.Name]? {
        do throws(SFTPError) {
            guard case .names(let names) = try await request(.readDirectory(handle)) else {
                throw SFTPError(.protocolViolation, "no names for a directory")
            }
            return names
        } catch {
            if error.code == .status(.endOfFile) { return nil }
            throw error
        }
    }

    /// nil: there is nothing of that name. Of a symbolic link itself.
    public func attributes(of path: RemotePath) async throws(SFTPError) -> FileAttributes? {
        try await attributes(of: [path])[0].get()
    }

    /// The same of several, in one round trip, in their order.
    public func attributes(of paths: [RemotePath]) async -> [Result<FileAttributes?, SFTPError>] {
        await requestInOrder(paths.map { .lstat($0) }).map { answer in
            switch answer {
            case .success(.attributes(let attributes)): .success(attributes)
            case .success: .failure(SFTPError(.protocolViolation, "no attributes for a file"))
            case .failure(let error):
                error.code == .status(.noSuchFile) ? .success(nil) : .failure(error)
            }
        }
    }

    /// The bytes of a small file, in two round trips; nil: it is not there.
    ///
    /// - Parameter limit: no more than about so many are read.
    public func contents(of path: RemotePath, limit: Int) async throws(SFTPError) -> [UInt8]? {
        do throws(SFTPError) {
            guard case .handle(let handle) = try await request(.open(path, .read)) else { return nil }
            defer { submit(.close(handle)) { _ in } }
            var result: [UInt8] = []
            while result.count < limit {
                // The end comes with the last bytes, mostly with the first.
                let answers = await requestInOrder([
                    .read(handle, offset: UInt64(result.count), length: 32 << 10), .fstat(handle),
                ])
                do throws(SFTPError) {
                    guard case .data(let bytes) = try answers[0].get(), !bytes.isEmpty else { break }
                    result += bytes
                } catch {
                    if error.code == .status(.endOfFile) { break }
                    throw error
                }
                if case .success(.attributes(let attributes)) = answers[1],
                    attributes.size == UInt64(result.count)
                {
                    break
                }
            }
            return result
        } catch {
            if error.code == .status(.noSuchFile) { return nil }
            throw error
        }
    }

    /// Sends all without waiting in between, and waits for all answers, which are in the order of
    /// the requests.
    ///
    /// Servers must do in this order what concerns one file (draft-ietf-secsh-filexfer-02, section
    /// 6.1); OpenSSH's does everything in order.
    public func requestInOrder(_ requests: [SFTPRequest]) async -> [Result<SFTPReply, SFTPError>] {
        let answers = Mutex(
            (
                known: [Result<SFTPReply, SFTPError>?](repeating: nil, count: requests.count),
                missing: requests.count
            ))
        guard !requests.isEmpty else { return [] }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            for (index, request) in requests.enumerated() {
                submit(request) { result in
                    let answer = result.flatMap { view in
                        Result { () throws(SFTPError) in try view.reply(to: request).checked() }
                    }
                    let isLast = answers.withLock { answers in
                        answers.known[index] = answer
                        answers.missing -= 1
                        return answers.missing == 0
                    }
                    if isLast { continuation.resume() }
                }
            }
        }
        return answers.withLock { $0.known.compactMap { $0 } }
    }

    /// Sends all, many at a time, and waits for all answers.
    ///
    /// - Throws: the first failure; what was sent after it may or may not have been done.
    public func requestAll(_ requests: [SFTPRequest], atATime width: Int = 64) async throws(SFTPError) {
        let failure = await withTaskGroup(of: SFTPError?.self) { group in
            var next = 0
            var failure: SFTPError?
            func start() {
                guard next < requests.count, failure == nil else { return }
                let request = requests[next]
                next += 1
                group.addTask {
                    do throws(SFTPError) { try await self.request(request) } catch { return error }
                    return nil
                }
            }
            for _ in 0..<width { start() }
            for await answer in group {
                if failure == nil { failure = answer }
                start()
            }
            return failure
        }
        if let failure { throw failure }
    }
}

/// What is known of a directory that is being listed: several answers are awaited at a time.
private struct DirectoryListing {
    /// At first two: a directory of up to a hundred names, and its end, in one round trip.
    private(set) var width = 2
    private static let largestWidth = 6

    let path: RemotePath
    let limit: Int
    private let limits: ListingLimits
    private let start = ContinuousClock.now
    private(set) var names: [SFTPReply.Name] = []
    private(set) var failure: SFTPError?
    private var hasEnded = false
    /// `.` and `..` are told once: they could go on for ever.
    private var dots = 0
    /// Of memory.
    private var bytes = 0

    /// In bytes: more than any file system has.
    private static let longestName = 1024

    /// Of a name beside its bytes, in memory.
    private static let overhead = MemoryLayout<SFTPReply.Name>.stride + 48

    init(path: RemotePath, limit: Int, _ limits: ListingLimits) {
        self.path = path
        self.limit = limit
        self.limits = limits
    }

    var isOver: Bool { hasEnded || failure != nil }

    mutating func add(_ answer: Result<[SFTPReply.Name]?, SFTPError>) {
        guard failure == nil else { return }
        do throws(SFTPError) {
            guard let some = try answer.get() else {
                hasEnded = true
                return
            }
            try add(some)
            // OpenSSH's server tells a hundred at a time; after fewer mostly nothing follows.
            width = some.count >= 64 ? Self.largestWidth : 1
        } catch { failure = error }
    }

    private mutating func add(_ some: [SFTPReply.Name]) throws(SFTPError) {
        guard !some.isEmpty else {
            throw SFTPError(.protocolViolation, "the server listed nothing again and again in \(path)")
        }
        for name in some {
            let isDots = name.bytes.count <= 2 && name.bytes.allSatisfy { $0 == UInt8(ascii: ".") }
            if isDots, !name.bytes.isEmpty {
                dots += 1
                continue
            }
            guard !name.bytes.isEmpty, !name.bytes.contains(0), !name.bytes.contains(UInt8(ascii: "/")),
                name.bytes.count <= Self.longestName
            else {
                throw SFTPError(.protocolViolation, "the server listed a name that can be none in \(path)")
            }
            names.append(name)
            bytes += name.bytes.count + Self.overhead
        }
        guard dots <= 2 else {
            throw SFTPError(
                .protocolViolation, "the server listed “.” and “..” again and again in \(path)")
        }
        guard names.count <= limit else {
            throw SFTPError(.protocolViolation, "the directory \(path) has more than \(limit) entries")
        }
        guard bytes <= limits.bytes else {
            throw SFTPError(
                .protocolViolation,
                "the names in the directory \(path) take up more than \(limits.bytes >> 20) MiB: "
                    + "\(names.count) entries came, and more follow")
        }
        let elapsed = ContinuousClock.now - start
        guard elapsed <= limits.patience + limits.timePerName * names.count else {
            throw SFTPError(
                .connectionLost,
                "the server lists the directory \(path) too slowly: \(names.count) entries in "
                    + "\(elapsed.components.seconds) s")
        }
    }
}

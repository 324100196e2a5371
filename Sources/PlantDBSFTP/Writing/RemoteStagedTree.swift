import Glibc
import PlantDBCore
import SFTPClient
import Synchronization

/// The staged files of one scan on a server.
final class RemoteStagedTree: Sendable {
    let scan: ScanID
    let path: RemotePath
    let endpoint: SFTPEndpoint
    let options: TransactionOptions
    /// What the target holds now; nil: the scan is new.
    private let current: ScanManifest?
    private let state = Mutex(State())

    private struct State {
        var entries: [FileEntry] = []
        var directories: Set<ScanPath> = []
    }

    init(
        scan: ScanID, path: RemotePath, endpoint: SFTPEndpoint, replacing current: ScanManifest?,
        options: TransactionOptions
    ) {
        self.scan = scan
        self.path = path
        self.endpoint = endpoint
        self.current = current
        self.options = options
    }

    /// What is staged whole, in no order.
    var staged: [FileEntry] { state.withLock { $0.entries } }

    func note(_ entry: FileEntry) { state.withLock { $0.entries.append(entry) } }

    func path(of entry: FileEntry) -> RemotePath { path.appending(entry.path.rawValue) }

    /// Whether the server flushes the file before it counts as staged.
    func isFlushed(_ path: @autoclosure () -> ScanPath, _ session: SFTPSession) -> Bool {
        guard session.server.extensions.contains(.fsync) else { return false }
        switch options.durability {
        case .never: return false
        case .always: return true
        case .auto: return current?.position(of: path()) != nil
        }
    }

    /// What is set once the bytes are there: version 3 knows whole seconds of 1970 to 2106.
    static func attributes(of entry: FileEntry) -> FileAttributes {
        FileAttributes(
            permissions: entry.mode.map { UInt32($0) },
            times: entry.modified.map { modified in
                let seconds = UInt32(clamping: modified.seconds)
                return .init(accessed: seconds, modified: seconds)
            })
    }

    /// Makes the directories, and those around them, that are not there yet.
    func makeDirectories(_ paths: [ScanPath], _ session: SFTPSession) async throws(DatabaseError) {
        let missing = state.withLock { state -> [ScanPath] in
            var missing: [ScanPath] = []
            for path in paths {
                var next: ScanPath? = path
                while let directory = next, state.directories.insert(directory).inserted {
                    missing.append(directory)
                    next = directory.parent
                }
            }
            return missing
        }
        let byDepth = Dictionary(grouping: missing) { $0.components.count }
        for depth in byDepth.keys.sorted() {
            let requests = (byDepth[depth] ?? []).map {
                SFTPRequest.makeDirectory(path.appending($0.rawValue))
            }
            try await endpoint.translatingWrites("stage scan \(scan)", scan: scan) {
                () async throws(SFTPError) in
                try await session.requestAll(requests)
            }
        }
    }

    func failure(_ error: SFTPError, _ entry: FileEntry) -> DatabaseError {
        let what = "stage \(entry.path) of scan \(scan)"
        guard case .status(let status) = error.code,
            [.noSuchFile, .failure, .permissionDenied].contains(status),
            TargetNames.holdsUncommon(String(entry.path.name))
        else { return .sftp(error, what, scan: scan, path: entry.path.rawValue) }
        return DatabaseError(
            .invalidName, "cannot \(what): perhaps \(TargetNames.advice)", cause: error.message, scan: scan,
            path: entry.path.rawValue)
    }

    func explained(_ failures: [DatabaseError]) async -> [DatabaseError] {
        var result: [DatabaseError] = []
        for failure in failures {
            if let named = oneName(failure) {
                result.append(named)
            } else {
                result.append(await endpoint.explained(failure))
            }
        }
        return result
    }

    /// Version 3 has one status for all that can go wrong: a file that is there already came by another
    /// spelling.
    private func oneName(_ failure: DatabaseError) -> DatabaseError? {
        guard failure.code == .io, let path = failure.path,
            let other = staged.first(where: {
                $0.path.rawValue.folded == path.folded && !$0.path.rawValue.utf8.elementsEqual(path.utf8)
            })
        else { return nil }
        return DatabaseError(
            .alreadyExists,
            "\(path) and \(other.path) of scan \(scan) seem to have one name on the target, which does not tell "
                + "upper and lower case or Unicode spellings apart; rename one", cause: failure.cause,
            scan: scan, path: path)
    }
}

extension RemoteStagedTree: FileSender {
    func send(_ selection: EntrySelection, from files: any LocalScanFiles, meter: ByteMeter)
        async throws(DatabaseError) -> LocalCopyOutcome
    {
        let first = try await endpoint.connections.session()
        try await makeDirectories(selection.directories, first)
        for index in selection.indices where selection.facts(at: index).kind == .directory {
            note(selection[index])
        }
        let split = PackedFiles(of: selection, upTo: RemoteTar.smallFileLimit) {
            !isFlushed(selection[$0].path, first)
        }
        guard !split.packed.isEmpty else {
            return try await send(selection, split.others, from: files, meter)
        }
        let packed = PackedSend(selection, split.packed, from: files, to: self, meter)
        async let others = send(selection, split.others, from: files, meter)
        let failure = await endpoint.packing.use { (tar) async throws(SFTPError) in
            try await tar.upload(into: path, from: packed)
        }
        let rest: LocalCopyOutcome
        do { rest = try await others } catch { throw .wrapping(error, while: "writing scan \(scan)") }
        if let failure, packed.mayGoOn {
            // Whoever unpacks still would write into what is sent again.
            throw .sftp(failure, "write scan \(scan) to \(endpoint.location)", scan: scan)
        }
        try await removeStaged(packed.torn.map { path(of: selection[$0]) })
        let last = try await send(selection, packed.remaining, from: files, meter)
        return packed.outcome.adding(rest).adding(last)
    }

    private func removeStaged(_ paths: [RemotePath]) async throws(DatabaseError) {
        guard !paths.isEmpty else { return }
        let session = try await endpoint.connections.session()
        try await translating("stage scan \(scan)", scan: scan) { () async throws(SFTPError) in
            for path in paths { try await session.removeIfThere(path) }
        }
    }

    /// Sends the files at these places of the selection, over SFTP.
    private func send(
        _ selection: EntrySelection, _ places: [Int], from files: any LocalScanFiles, _ meter: ByteMeter
    ) async throws(DatabaseError) -> LocalCopyOutcome {
        guard !places.isEmpty else { return .nothing }
        let first = try await endpoint.connections.session()
        let source = ScanFilesSource(selection, places, from: files, to: self, flushesWith: first, meter)
        let limit = selection.isWorthSeveralConnections(places) ? endpoint.connectionLimit : 1
        let failures = try await endpoint.connections.use(upTo: limit, growing: .atOnce) { session in
            do throws(SFTPError) {
                try await session.upload(from: source)
                return SFTPError?.none
            } catch { return error }
        }
        var outcome = source.outcome
        if let failure = failures.compactMap({ $0 }).first, outcome.failures.isEmpty {
            throw .sftp(failure, "write scan \(scan) to \(endpoint.location)", scan: scan)
        }
        outcome.failures = await explained(outcome.failures)
        return outcome
    }
}

/// Reads files of this machine for an upload.
private final class ScanFilesSource: UploadSource {
    private let selection: EntrySelection
    private let places: [Int]
    private let files: any LocalScanFiles
    private let tree: RemoteStagedTree
    private let meter: ByteMeter
    private let session: SFTPSession
    private let state = Mutex(State())

    private struct State {
        var next = 0
        var outcome = LocalCopyOutcome.nothing
        /// Nothing is begun after a failure that will not get better with the next file.
        var isStopped = false
    }

    init(
        _ selection: EntrySelection, _ places: [Int], from files: any LocalScanFiles,
        to tree: RemoteStagedTree, flushesWith session: SFTPSession, _ meter: ByteMeter
    ) {
        self.selection = selection
        self.places = places
        self.files = files
        self.tree = tree
        self.session = session
        self.meter = meter
    }

    var outcome: LocalCopyOutcome { state.withLock { $0.outcome } }

    func next() -> UploadItem? {
        state.withLock { state in
            guard !state.isStopped, state.next < places.count else { return nil }
            let index = places[state.next]
            state.next += 1
            let entry = selection[index]
            return UploadItem(
                index: index, path: tree.path(of: entry), size: UInt64(entry.size),
                attributes: RemoteStagedTree.attributes(of: entry),
                isFlushed: tree.isFlushed(entry.path, session))
        }
    }

    func open(_ item: UploadItem) -> CInt? {
        do throws(DatabaseError) { return try files.open(selection[item.index]) } catch {
            record(error)
            return nil
        }
    }

    func sent(bytes: Int) { meter.add(Int64(bytes)) }

    func complete(_ item: UploadItem, descriptor: CInt) {
        defer { close(descriptor) }
        let entry = selection[item.index]
        do throws(DatabaseError) {
            try files.confirm(entry, descriptor: descriptor)
            tree.note(entry)
            state.withLock { state in
                state.outcome.filesStaged += 1
                state.outcome.bytesStaged = state.outcome.bytesStaged.addingSaturated(entry.size)
            }
        } catch { record(error) }
    }

    func fail(_ item: UploadItem, descriptor: CInt?, _ error: SFTPError) {
        if let descriptor { close(descriptor) }
        record(tree.failure(error, selection[item.index]))
    }

    private func record(_ error: DatabaseError) {
        state.withLock { state in
            state.outcome.failures.append(error)
            switch error.code {
            case .noSpace, .cancelled, .unreachable, .io: state.isStopped = true
            default: break
            }
        }
    }
}

extension EntrySelection {
    /// The selected directories, and those that selected files lie in; some more than once.
    fileprivate var directories: [ScanPath] {
        var result: [ScanPath] = []
        var last: ArraySlice<UInt8> = []
        for index in indices {
            let path = pathBytes(at: index)
            if facts(at: index).kind == .directory {
                result.append(self[index].path)
            } else if let slash = path.lastIndex(of: UInt8(ascii: "/")), path[..<slash] != last,
                let parent = self[index].path.parent
            {
                last = path[..<slash]
                result.append(parent)
            }
        }
        return result
    }
}

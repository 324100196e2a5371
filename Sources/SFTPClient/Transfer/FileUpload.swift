import Glibc
import NIOCore
import Synchronization

/// A file to send.
public struct UploadItem: Sendable {
    /// The caller's number for it.
    public var index: Int
    /// Must not exist yet.
    public var path: RemotePath
    /// In bytes; a local file of another size is an error of the file.
    public var size: UInt64
    /// Set once the bytes are there: permissions and times.
    public var attributes: FileAttributes
    /// Whether the file is on the server's disk before it counts as sent (`fsync@openssh.com`).
    public var isFlushed: Bool

    public init(index: Int, path: RemotePath, size: UInt64, attributes: FileAttributes, isFlushed: Bool) {
        self.index = index
        self.path = path
        self.size = size
        self.attributes = attributes
        self.isFlushed = isFlushed
    }
}

/// Where files to send come from. Several sessions may share one: every call may come from any
/// thread, also several at a time, and holds up that session until it returns.
public protocol UploadSource: Sendable {
    /// The next file to send; nil: no more.
    func next() -> UploadItem?
    /// A local descriptor to read from at any offset; nil: it failed, and is recorded.
    func open(_ item: UploadItem) -> CInt?
    func sent(bytes: Int)
    /// The server has taken every byte, and says that the file has its size. Takes over the
    /// descriptor.
    func complete(_ item: UploadItem, descriptor: CInt)
    /// Takes over the descriptor; nil: the file was not opened yet.
    func fail(_ item: UploadItem, descriptor: CInt?, _ error: SFTPError)
}

extension SFTPSession {
    /// Sends files until `source` has no more: many at a time, each with many requests on the
    /// way. A file that cannot be sent is told to `source`, and the others go on; what of it
    /// has arrived stays on the server.
    ///
    /// Memory: 2 MiB on the way, and as much in ssh's own buffers.
    /// Cancelled as ``download(to:)`` is.
    /// - Throws: what ended the connection; `cancelled`. Every file that was taken from `source`
    ///   has been told to it by then.
    public func upload(from source: some UploadSource) async throws(SFTPError) {
        let transfer = FileUpload(self, source)
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                transfer.start { continuation.resume(returning: $0) }
            }
        } onCancel: {
            transfer.stop(SFTPError(.cancelled, "the transfer was cancelled"))
            closeSoon { transfer.isOver }
        }
        try result.get()
    }
}

/// Keeps a session busy with writes.
private final class FileUpload<Source: UploadSource>: Sendable {
    /// Bytes on the way, of one session. ssh lets 2 MiB through a channel until they are taken.
    private static var windowBytes: Int { 2 << 20 }
    /// Of open files, what is not sent yet: no more is kept from other sessions.
    private static var lookahead: UInt64 { 8 << 20 }

    private struct OpenFile {
        var item: UploadItem
        var handle: RemoteHandle?
        var descriptor: CInt?
        var nextOffset: UInt64 = 0
        /// Writes that were decided on and are not sent yet. Several threads send: a file must not
        /// be closed before its last write, which would go into whatever file got its handle next.
        var unsentWrites = 0
        var pendingWrites = 0
        var isClosing = false
        /// Answers that are awaited since it is closing.
        var pendingEnds = 0
        /// As the server tells it in the end.
        var size: UInt64?
        var failure: SFTPError?

        /// What follows is set, told and closed: as many answers.
        mutating func finish() {
            isClosing = true
            pendingEnds = item.isFlushed ? 4 : 3
        }
    }

    private struct State {
        var files: [Int: OpenFile] = [:]
        /// Files that are over, and of which the source does not know yet.
        var untold = 0
        /// Files of which something is still to be sent.
        var ready: [Int] = []
        /// Files that failed and are to be closed.
        var doomed: Set<Int> = []
        var nextSlot = 0
        /// In bytes.
        var unsent: UInt64 = 0
        var bytesOnTheWay = 0
        var isExhausted = false
        var stop: SFTPError?
        var onEnd: (@Sendable (Result<Void, SFTPError>) -> Void)?

        /// Nothing more is sent of the file.
        mutating func fail(_ slot: Int, _ error: SFTPError) {
            guard files[slot] != nil else { return }
            if files[slot]?.failure == nil { files[slot]?.failure = error }
            if files[slot]?.isClosing == false { doomed.insert(slot) }
            ready.removeAll { $0 == slot }
        }

        /// The file, if nothing of it is awaited any more: servers may answer in another order.
        mutating func takeOver(_ slot: Int) -> OpenFile? {
            guard let file = files[slot], file.isClosing, file.pendingEnds == 0, file.pendingWrites == 0
            else { return nil }
            remove(slot)
            return file
        }

        mutating func remove(_ slot: Int) {
            doomed.remove(slot)
            if let file = files[slot] { unsent -= file.item.size - file.nextOffset }
            files[slot] = nil
            untold += 1
        }
    }

    private enum Action {
        case open(slot: Int, UploadItem)
        case write(slot: Int, RemoteHandle, descriptor: CInt, offset: UInt64, length: Int)
        case close(slot: Int, RemoteHandle)
        case end(@Sendable (Result<Void, SFTPError>) -> Void, Result<Void, SFTPError>)
    }

    private let session: SFTPSession
    private let source: Source
    private let chunk: Int
    private let state = Mutex(State())
    private let spareBuffers = Mutex(SpareBuffers())

    init(_ session: SFTPSession, _ source: Source) {
        self.session = session
        self.source = source
        chunk = session.server.writeBytes(upTo: 128 << 10)
    }

    func start(_ onEnd: @escaping @Sendable (Result<Void, SFTPError>) -> Void) {
        state.withLock { $0.onEnd = onEnd }
        proceed()
    }

    var isOver: Bool { state.withLock { $0.onEnd == nil } }

    /// No further file is begun; those that are open are closed.
    func stop(_ error: SFTPError) {
        state.withLock { state in
            if state.stop == nil { state.stop = error }
            for slot in Array(state.files.keys) { state.fail(slot, error) }
        }
        proceed()
    }

    /// Does whatever can be done now. Requests are sent outside the lock, since a session that
    /// has ended answers at once.
    private func proceed() {
        while let action = state.withLock({ nextAction(&$0) }) { perform(action) }
    }

    private func nextAction(_ state: inout State) -> Action? {
        for slot in state.doomed {
            guard let file = state.files[slot], file.unsentWrites == 0, let handle = file.handle else {
                continue
            }
            state.doomed.remove(slot)
            state.files[slot]?.isClosing = true
            state.files[slot]?.pendingEnds = 1
            return .close(slot: slot, handle)
        }
        if state.bytesOnTheWay < Self.windowBytes {
            if let slot = state.ready.first, let action = nextWrite(of: slot, &state) { return action }
            if !state.isExhausted, state.stop == nil, state.files.count < session.server.openFiles,
                state.unsent < Self.lookahead
            {
                if let item = source.next() {
                    let slot = state.nextSlot
                    state.nextSlot += 1
                    state.unsent += item.size
                    state.files[slot] = OpenFile(item: item)
                    return .open(slot: slot, item)
                }
                state.isExhausted = true
            }
        }
        if state.files.isEmpty, state.untold == 0, state.isExhausted || state.stop != nil,
            let onEnd = state.onEnd
        {
            state.onEnd = nil
            return .end(onEnd, state.stop.map { .failure($0) } ?? .success(()))
        }
        return nil
    }

    private func nextWrite(of slot: Int, _ state: inout State) -> Action? {
        guard let file = state.files[slot], let handle = file.handle, let descriptor = file.descriptor else {
            return nil
        }
        let length = Int(min(UInt64(chunk), file.item.size - file.nextOffset))
        let offset = file.nextOffset
        state.files[slot]?.nextOffset += UInt64(length)
        state.unsent -= UInt64(length)
        state.files[slot]?.unsentWrites += 1
        state.files[slot]?.pendingWrites += 1
        state.bytesOnTheWay += length
        if offset + UInt64(length) >= file.item.size { state.ready.removeFirst() }
        return .write(slot: slot, handle, descriptor: descriptor, offset: offset, length: length)
    }

    private func perform(_ action: Action) {
        switch action {
        case .open(let slot, let item):
            let request = SFTPRequest.open(
                item.path, [.write, .create, .exclusive],
                FileAttributes(permissions: item.attributes.permissions.map { $0 & 0o7777 }))
            session.submit(request, isPatient: true) { self.opened(slot, item, request, $0) }
        case .write(let slot, let handle, let descriptor, let offset, let length):
            write(slot, handle, descriptor, offset, length)
        case .close(let slot, let handle): close(slot, handle)
        case .end(let onEnd, let result): onEnd(result)
        }
    }

    private func write(
        _ slot: Int, _ handle: RemoteHandle, _ descriptor: CInt, _ offset: UInt64, _ length: Int
    ) {
        var buffer = spareBuffers.withLock { $0.take(capacity: length) }
        var failure: SFTPError?
        do throws(SFTPError) {
            let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { space in
                let part = UnsafeMutableRawBufferPointer(rebasing: space[..<length])
                do throws(SFTPError) { return try Descriptors.read(descriptor, into: part, at: offset) } catch
                {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            guard count == length else {
                throw SFTPError(.local, "the file is shorter than it was listed", systemError: ESTALE)
            }
        } catch {
            state.withLock { state in
                state.bytesOnTheWay -= length
                state.files[slot]?.unsentWrites -= 1
                state.files[slot]?.pendingWrites -= 1
                state.fail(slot, error)
            }
            return
        }
        let sent = buffer
        session.submit(.write(handle, offset: offset, sent), isPatient: true) {
            self.spareBuffers.withLock { $0.giveBack(sent) }
            self.written(slot, length, $0)
        }
        let isLast = state.withLock { state -> Bool in
            state.files[slot]?.unsentWrites -= 1
            guard let file = state.files[slot], !file.isClosing, file.failure == nil,
                file.unsentWrites == 0, file.nextOffset >= file.item.size
            else { return false }
            state.files[slot]?.finish()
            return true
        }
        // The server does in order what concerns one file: nothing need be waited for.
        if isLast { finish(slot, handle) }
    }

    // MARK: Answers

    private func opened(
        _ slot: Int, _ item: UploadItem, _ request: SFTPRequest, _ result: Result<ReplyView, SFTPError>
    ) {
        let handle: RemoteHandle
        do throws(SFTPError) {
            guard case .handle(let found) = try result.get().reply(to: request).checked() else {
                throw SFTPError(.protocolViolation, "no handle for an open file")
            }
            handle = found
        } catch {
            state.withLock { $0.remove(slot) }
            source.fail(item, descriptor: nil, error)
            if error.endsConnection { stop(error) }
            state.withLock { $0.untold -= 1 }
            return proceed()
        }
        let descriptor = source.open(item)
        let isEmpty = state.withLock { state -> Bool in
            state.files[slot]?.handle = handle
            state.files[slot]?.descriptor = descriptor
            // The source knows why.
            if descriptor == nil { state.fail(slot, SFTPError(.local, "")) }
            guard state.files[slot]?.failure == nil else { return false }
            if item.size > 0 {
                state.ready.append(slot)
            } else {
                state.files[slot]?.finish()
            }
            return item.size == 0
        }
        if isEmpty { finish(slot, handle) }
        proceed()
    }

    private func written(_ slot: Int, _ length: Int, _ result: Result<ReplyView, SFTPError>) {
        let failure = Self.failure(result)
        let over = state.withLock { state in
            state.bytesOnTheWay -= length
            state.files[slot]?.pendingWrites -= 1
            if let failure { state.fail(slot, failure) }
            return state.takeOver(slot)
        }
        if let failure, failure.endsConnection { stop(failure) }
        if failure == nil { source.sent(bytes: length) }
        if let over { tell(over) }
        proceed()
    }

    /// Sets attributes, flushes if asked to, asks for the size, and closes. Over when all are
    /// answered.
    private func finish(_ slot: Int, _ handle: RemoteHandle) {
        guard let item = state.withLock({ $0.files[slot]?.item }) else { return }
        session.submit(.fsetstat(handle, item.attributes), isPatient: true) {
            self.ended(slot, Self.failure($0))
        }
        if item.isFlushed {
            session.submit(.fsync(handle), isPatient: true) { self.ended(slot, Self.failure($0)) }
        }
        session.submit(.fstat(handle), isPatient: true) { result in
            switch result {
            case .success(.attributes(let attributes)):
                self.state.withLock { $0.files[slot]?.size = attributes.size }
                self.ended(slot, nil)
            case .failure(let error): self.ended(slot, error)
            // A server that cannot tell leaves the size unknown.
            default: self.ended(slot, nil)
            }
        }
        session.submit(.close(handle), isPatient: true) { self.ended(slot, Self.failure($0)) }
    }

    private func close(_ slot: Int, _ handle: RemoteHandle) {
        session.submit(.close(handle), isPatient: true) { self.ended(slot, Self.failure($0)) }
    }

    private func ended(_ slot: Int, _ error: SFTPError?) {
        let over = state.withLock { state -> OpenFile? in
            if let error { state.fail(slot, error) }
            state.files[slot]?.pendingEnds -= 1
            return state.takeOver(slot)
        }
        guard let over else { return }
        tell(over)
        proceed()
    }

    private func tell(_ file: OpenFile) {
        var failure = file.failure
        if failure == nil, let size = file.size, size != file.item.size {
            failure = SFTPError(.status(.failure), "\(size) of \(file.item.size) bytes arrived")
        }
        if let descriptor = file.descriptor {
            if let failure {
                source.fail(file.item, descriptor: descriptor, failure)
            } else {
                source.complete(file.item, descriptor: descriptor)
            }
        }
        if let failure, failure.endsConnection { stop(failure) }
        state.withLock { $0.untold -= 1 }
    }

    private static func failure(_ result: Result<ReplyView, SFTPError>) -> SFTPError? {
        switch result {
        case .failure(let error): error
        case .success(.status(.ok, _)): nil
        case .success(.status(let status, let message)):
            SFTPError(.status(status), String(decoding: message.prefix(200), as: UTF8.self))
        case .success: SFTPError(.protocolViolation, "no status for a request that has no other answer")
        }
    }
}

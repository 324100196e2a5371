import Glibc
import Synchronization

/// A file to fetch.
public struct DownloadItem: Sendable {
    /// The caller's number for it.
    public var index: Int
    public var path: RemotePath
    /// As listed, in bytes; another size is an error of the file.
    public var size: UInt64

    public init(index: Int, path: RemotePath, size: UInt64) {
        self.index = index
        self.path = path
        self.size = size
    }
}

/// Where fetched files go. Several sessions may share one: every call may come from any thread,
/// also several at a time, and holds up that session until it returns.
public protocol DownloadSink: Sendable {
    /// The next file to fetch; nil: no more.
    func next() -> DownloadItem?
    /// A local descriptor to write to at any offset; nil: it failed, and is recorded.
    func open(_ item: DownloadItem) -> CInt?
    func received(bytes: Int)
    /// All bytes are written. Takes over the descriptor.
    /// - Parameter attributes: of the server's file, asked after its last byte was read.
    func complete(_ item: DownloadItem, descriptor: CInt, attributes: FileAttributes)
    /// Takes over the descriptor; nil: the file was not opened yet.
    func fail(_ item: DownloadItem, descriptor: CInt?, _ error: SFTPError)
}

extension SFTPSession {
    /// Fetches files until `sink` has no more: many at a time, each with many requests on the
    /// way. A file that cannot be fetched is told to `sink`, and the others go on.
    ///
    /// Memory: the session's receive buffer. Bytes go from it straight to the descriptors.
    /// Cancelling it waits for what is on the way; where that takes longer than two seconds, the
    /// session is closed.
    /// - Throws: what ended the connection; `cancelled`. Every file that was taken from `sink`
    ///   has been told to it by then.
    public func download(to sink: some DownloadSink) async throws(SFTPError) {
        let transfer = FileDownload(self, sink)
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

extension SFTPSession {
    /// For what was cancelled: closes the session if it is not over in two seconds.
    func closeSoon(unless isOver: @escaping @Sendable () -> Bool) {
        Task {
            // Nobody cancels this task, and sleeping fails for no other reason.
            try? await Task.sleep(for: .seconds(2))
            if !isOver() { await close() }
        }
    }
}

/// Keeps a session busy with reads.
private final class FileDownload<Sink: DownloadSink>: Sendable {
    /// Requests on the way, of one session.
    private static var requestLimit: Int { 64 }
    /// Of open files, what is not asked for yet: no more is kept from other sessions.
    private static var lookahead: UInt64 { 8 << 20 }

    private struct OpenFile {
        var item: DownloadItem
        var handle: RemoteHandle?
        var descriptor: CInt?
        var nextOffset: UInt64 = 0
        var pendingReads = 0
        var isClosing = false
        /// Answers that are awaited since it is closing.
        var pendingEnds = 0
        var attributes: FileAttributes?
        var failure: SFTPError?

        var isFullyAsked: Bool { nextOffset >= item.size }

        /// What follows is asked what it is, and closed: two answers.
        mutating func close() {
            isClosing = true
            pendingEnds = 2
        }
    }

    private struct State {
        var files: [Int: OpenFile] = [:]
        /// Files that are over, and of which the sink does not know yet.
        var untold = 0
        /// Files of which something is still to be asked for.
        var ready: [Int] = []
        /// What came short and is to be asked for again.
        var gaps: [(slot: Int, offset: UInt64, length: UInt32)] = []
        var nextSlot = 0
        /// In bytes.
        var unasked: UInt64 = 0
        var pendingReads = 0
        var isExhausted = false
        var stop: SFTPError?
        var onEnd: (@Sendable (Result<Void, SFTPError>) -> Void)?
        /// Files that failed and are to be closed.
        var doomed: Set<Int> = []

        /// Nothing more is asked of the file.
        mutating func fail(_ slot: Int, _ error: SFTPError) {
            guard files[slot] != nil else { return }
            if files[slot]?.failure == nil { files[slot]?.failure = error }
            if files[slot]?.isClosing == false { doomed.insert(slot) }
            ready.removeAll { $0 == slot }
            gaps.removeAll { $0.slot == slot }
        }

        /// The file, if nothing of it is awaited any more: servers may answer in another order.
        mutating func takeOver(_ slot: Int) -> OpenFile? {
            guard let file = files[slot], file.isClosing, file.pendingEnds == 0, file.pendingReads == 0
            else { return nil }
            remove(slot)
            return file
        }

        mutating func remove(_ slot: Int) {
            doomed.remove(slot)
            if let file = files[slot] { unasked -= file.item.size - file.nextOffset }
            files[slot] = nil
            untold += 1
        }
    }

    private enum Action {
        case open(slot: Int, DownloadItem)
        /// - Parameter isLast: the file is closed right behind it.
        case read(slot: Int, RemoteHandle, offset: UInt64, length: UInt32, isLast: Bool)
        case close(slot: Int, RemoteHandle)
        case end(@Sendable (Result<Void, SFTPError>) -> Void, Result<Void, SFTPError>)
    }

    private let session: SFTPSession
    private let sink: Sink
    private let chunk: UInt64
    private let state = Mutex(State())

    init(_ session: SFTPSession, _ sink: Sink) {
        self.session = session
        self.sink = sink
        chunk = UInt64(session.server.readBytes(upTo: 128 << 10))
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
            guard let file = state.files[slot], file.pendingReads == 0, let handle = file.handle else {
                continue
            }
            state.doomed.remove(slot)
            state.files[slot]?.close()
            return .close(slot: slot, handle)
        }
        if state.pendingReads < Self.requestLimit {
            if let gap = state.gaps.popLast(), let handle = state.files[gap.slot]?.handle {
                state.files[gap.slot]?.pendingReads += 1
                state.pendingReads += 1
                return .read(slot: gap.slot, handle, offset: gap.offset, length: gap.length, isLast: false)
            }
            if let slot = state.ready.first, let action = nextRead(of: slot, &state) { return action }
            if !state.isExhausted, state.stop == nil, state.files.count < session.server.openFiles,
                state.unasked < Self.lookahead
            {
                if let item = sink.next() {
                    let slot = state.nextSlot
                    state.nextSlot += 1
                    state.unasked += item.size
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

    private func nextRead(of slot: Int, _ state: inout State) -> Action? {
        guard var file = state.files[slot], let handle = file.handle else { return nil }
        let offset = file.nextOffset
        let length = min(chunk, file.item.size - offset)
        file.nextOffset += length
        state.unasked -= length
        file.pendingReads += 1
        state.pendingReads += 1
        if file.isFullyAsked { state.ready.removeFirst() }
        // A file of one request is asked for, checked and closed in one go.
        let isLast = offset == 0 && file.isFullyAsked
        if isLast { file.close() }
        state.files[slot] = file
        return .read(slot: slot, handle, offset: offset, length: UInt32(length), isLast: isLast)
    }

    private func perform(_ action: Action) {
        switch action {
        case .open(let slot, let item):
            session.submit(.open(item.path, .read), isPatient: true) { self.opened(slot, item, $0) }
        case .read(let slot, let handle, let offset, let length, let isLast):
            session.submit(.read(handle, offset: offset, length: length), isPatient: true) {
                self.arrived(slot, offset, length, $0)
            }
            if isLast { close(slot, handle) }
        case .close(let slot, let handle): close(slot, handle)
        case .end(let onEnd, let result): onEnd(result)
        }
    }

    // MARK: Answers

    private func opened(_ slot: Int, _ item: DownloadItem, _ result: Result<ReplyView, SFTPError>) {
        let handle: RemoteHandle
        do throws(SFTPError) {
            guard case .handle(let found) = try result.get().reply(to: .open(item.path, .read)).checked()
            else {
                throw SFTPError(.protocolViolation, "no handle for an open file")
            }
            handle = found
        } catch {
            state.withLock { $0.remove(slot) }
            sink.fail(item, descriptor: nil, error)
            if error.endsConnection { stop(error) }
            state.withLock { $0.untold -= 1 }
            return proceed()
        }
        let descriptor = sink.open(item)
        let isEmpty = state.withLock { state -> Bool in
            state.files[slot]?.handle = handle
            state.files[slot]?.descriptor = descriptor
            // The sink knows why.
            if descriptor == nil { state.fail(slot, SFTPError(.local, "")) }
            guard state.files[slot]?.failure == nil else { return false }
            if item.size > 0 {
                state.ready.append(slot)
            } else {
                state.files[slot]?.close()
            }
            return item.size == 0
        }
        if isEmpty { close(slot, handle) }
        proceed()
    }

    private func arrived(
        _ slot: Int, _ offset: UInt64, _ length: UInt32, _ result: Result<ReplyView, SFTPError>
    ) {
        var failure: SFTPError?
        var missing: UInt32 = 0
        let (descriptor, isClosing, isDoomed) = state.withLock { state in
            let file = state.files[slot]
            return (file?.descriptor, file?.isClosing == true, file?.failure != nil)
        }
        do throws(SFTPError) {
            switch try result.get() {
            case .data(let bytes):
                guard bytes.count <= length, bytes.count > 0 else {
                    throw SFTPError(.protocolViolation, "\(bytes.count) bytes for a read of \(length)")
                }
                if let descriptor, !isDoomed {
                    try Descriptors.write(bytes, to: descriptor, at: offset)
                    sink.received(bytes: bytes.count)
                }
                missing = length - UInt32(bytes.count)
                if missing > 0, isClosing {
                    throw SFTPError(.status(.endOfFile), "the file is shorter than it was listed")
                }
            case .status(.endOfFile, _):
                throw SFTPError(.status(.endOfFile), "the file is shorter than it was listed")
            case .status(let status, let message) where status != .ok:
                throw SFTPError(.status(status), String(decoding: message.prefix(200), as: UTF8.self))
            default: throw SFTPError(.protocolViolation, "no data for a read")
            }
        } catch { failure = error }
        let (finished, over) = state.withLock { state -> (RemoteHandle?, OpenFile?) in
            state.pendingReads -= 1
            state.files[slot]?.pendingReads -= 1
            if let failure {
                state.fail(slot, failure)
            } else if missing > 0, !isDoomed {
                state.gaps.append((slot, offset + UInt64(length - missing), missing))
                return (nil, nil)
            }
            if let over = state.takeOver(slot) { return (nil, over) }
            guard let file = state.files[slot], file.failure == nil, !file.isClosing, file.isFullyAsked,
                file.pendingReads == 0, !state.gaps.contains(where: { $0.slot == slot })
            else { return (nil, nil) }
            state.files[slot]?.close()
            return (file.handle, nil)
        }
        if let over { tell(over) }
        if let failure, failure.endsConnection { stop(failure) }
        if let finished { close(slot, finished) }
        proceed()
    }

    /// Asks once more what the file is, and closes it. Over when both are answered.
    private func close(_ slot: Int, _ handle: RemoteHandle) {
        session.submit(.fstat(handle), isPatient: true) { result in
            if case .success(.attributes(let attributes)) = result {
                self.state.withLock { $0.files[slot]?.attributes = attributes }
            }
            // A server that cannot tell leaves the attributes unknown.
            self.ended(slot, result)
        }
        session.submit(.close(handle), isPatient: true) { self.ended(slot, $0) }
    }

    private func ended(_ slot: Int, _ result: Result<ReplyView, SFTPError>) {
        let over = state.withLock { state -> OpenFile? in
            if case .failure(let error) = result { state.fail(slot, error) }
            state.files[slot]?.pendingEnds -= 1
            return state.takeOver(slot)
        }
        guard let over else { return }
        tell(over)
        proceed()
    }

    private func tell(_ file: OpenFile) {
        if let descriptor = file.descriptor {
            if let failure = file.failure {
                sink.fail(file.item, descriptor: descriptor, failure)
            } else {
                sink.complete(file.item, descriptor: descriptor, attributes: file.attributes ?? .init())
            }
        }
        if let failure = file.failure, failure.endsConnection { stop(failure) }
        state.withLock { $0.untold -= 1 }
    }
}

extension SFTPError {
    /// Whether nothing more will come over this connection.
    var endsConnection: Bool {
        switch code {
        case .status, .local, .unsupported, .invalidArgument: false
        default: true
        }
    }
}

extension SFTPReply {
    /// - Throws: `status` for any status but success.
    func checked() throws(SFTPError) -> SFTPReply {
        if case .status(let status, let message) = self, status != .ok {
            throw SFTPError(.status(status), message.isEmpty ? "\(status)" : message)
        }
        return self
    }
}

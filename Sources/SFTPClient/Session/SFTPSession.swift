import Dispatch
import NIOCore
import NIOPosix
import Synchronization

/// One connection to an SFTP server: any number of requests on their way at a time.
///
/// It has two threads, one that writes and one that reads and hands over the answers. Memory
/// is bounded by what its callers have on the way. ``close()`` it, or both threads stay.
public final class SFTPSession: Sendable {
    /// Called once, on the reading thread; a view is valid within the call. Must not block for
    /// longer than a file system takes.
    typealias Handler = @Sendable (Result<ReplyView, SFTPError>) -> Void

    /// What the server said of itself.
    public struct Server: Sendable, Hashable {
        public var extensions: Set<SFTPExtension>
        /// nil where it tells none (`limits@openssh.com`).
        public var limits: ServerLimits?

        /// What may be asked for in one read. Without limits, what every server must serve
        /// (draft-ietf-secsh-filexfer-02, section 3: packets of 34,000 bytes).
        public func readBytes(upTo wanted: Int) -> Int { Self.bytes(limits?.readBytes, wanted) }
        public func writeBytes(upTo wanted: Int) -> Int { Self.bytes(limits?.writeBytes, wanted) }

        /// How many files one transfer has open: some ten may be at work on one session, beside listings.
        var openFiles: Int {
            guard let handles = limits?.openHandles, handles > 0 else { return 64 }
            return min(64, max(4, Int(clamping: handles) / 16))
        }

        private static func bytes(_ limit: UInt64?, _ wanted: Int) -> Int {
            guard let limit, limit > 0 else { return min(wanted, 32 << 10) }
            return min(wanted, Int(clamping: limit))
        }
    }

    public struct Configuration: Sendable {
        /// How long to wait for the first answer: it includes logging in.
        public var handshakeLimit = Duration.seconds(150)
        /// How long the server may be silent while it owes answers.
        public var silenceLimit = Duration.seconds(300)

        public init() {}
    }

    public let server: Server
    private let channel: any SFTPChannel
    private let silenceLimit: Duration
    private let state = Mutex(State())
    private let wakeWriter = DispatchSemaphore(value: 0)
    private let threads = NIOThreadPool(numberOfThreads: 2)
    private let received = Atomic<Int64>(0)

    private struct State {
        var table = RequestTable<Handler>()
        var outgoing = OutgoingQueue()
        var isWriterAwake = false
        /// Since when the server owes an answer; an earlier silence was no fault of its.
        var owesSince = ContinuousClock.now
        /// Why it is over; nil: it is not.
        var end: SFTPError?
        /// What is in the queue waits no longer.
        var hasImpatient = false

        /// Whether the server has little left to do, or much waits to be sent. Answers to what it
        /// has bring this up again, so that nothing waits for ever.
        var isSendingDue: Bool {
            if outgoing.isEmpty { return false }
            return hasImpatient || outgoing.byteCount >= 64 << 10
                || table.count - outgoing.requestCount < SFTPSession.patience
        }

        /// - Returns: whether the caller has to wake the writer.
        mutating func wakesWriter(atOnce: Bool) -> Bool {
            if atOnce { hasImpatient = true }
            guard !isWriterAwake, isSendingDue else { return false }
            isWriterAwake = true
            return true
        }
    }

    /// So many requests at the server are enough to keep it busy until further ones are there.
    private static let patience = 32

    /// Greets the server, and takes over the channel.
    ///
    /// - Throws: `unreachable` without an answer in time; `protocolViolation`; and what the
    ///   channel knows of its end.
    public static func open(over channel: any SFTPChannel, configuration: Configuration = Configuration())
        async throws(SFTPError) -> SFTPSession
    {
        let opening: @Sendable () throws(SFTPError) -> SFTPSession = { () throws(SFTPError) in
            do throws(SFTPError) {
                let server = try Greeting(channel: channel).exchange(limit: configuration.handshakeLimit)
                channel.wasGreeted()
                return SFTPSession(channel, server, silenceLimit: configuration.silenceLimit)
            } catch {
                defer { channel.release() }
                throw Self.cause(channel.end(), error)
            }
        }
        // Logging in may take minutes, and who gives up does not wait for it.
        let task = Task { () -> Result<SFTPSession, SFTPError> in
            do throws(SFTPError) { return .success(try await Blocking.run(opening)) } catch {
                return .failure(error)
            }
        }
        let result = await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            channel.interrupt()
        }
        if case .failure = result, Task.isCancelled {
            throw SFTPError(.cancelled, "connecting was cancelled")
        }
        return try result.get()
    }

    private init(_ channel: any SFTPChannel, _ server: Server, silenceLimit: Duration) {
        self.channel = channel
        self.server = server
        self.silenceLimit = silenceLimit
        threads.start()
        threads.submit { _ in self.writeLoop() }
        threads.submit { _ in self.readLoop() }
    }

    // MARK: Requests

    /// Asks, and waits for the answer.
    ///
    /// - Throws: `status` for any answer of the server but success (the end of a file or
    ///   directory too); `unsupported` if it lacks the extension; `connectionLost`. Cancelling
    ///   does not take a request back: it was sent.
    @discardableResult
    public func request(_ request: SFTPRequest) async throws(SFTPError) -> SFTPReply {
        let result = await withCheckedContinuation { continuation in
            submit(request) { result in
                continuation.resume(
                    returning: result.flatMap { view in
                        Result { () throws(SFTPError) in try view.reply(to: request) }
                    })
            }
        }
        return try result.get().checked()
    }

    /// Sends without waiting. `handler` is called exactly once.
    ///
    /// - Parameter isPatient: it may wait until the server has little left to do, so that many
    ///   requests go in one write(2), and in one packet of ssh: for transfers of many files a third
    ///   of the processors' time.
    func submit(_ request: SFTPRequest, isPatient: Bool = false, _ handler: @escaping Handler) {
        if let needs = request.needs, !server.extensions.contains(needs) {
            return handler(.failure(SFTPError(.unsupported, "the server has no \(needs.rawValue)")))
        }
        let (end, wakes) = state.withLock { state -> (SFTPError?, Bool) in
            if let end = state.end { return (end, false) }
            if state.table.isEmpty { state.owesSince = .now }
            let id = state.table.add(request, handler)
            state.outgoing.add(request, id: id)
            return (nil, state.wakesWriter(atOnce: !isPatient))
        }
        if let end { return handler(.failure(end)) }
        if wakes { wakeWriter.signal() }
    }

    /// Ends the session and whoever is behind its channel; requests on their way fail as
    /// cancelled. Idempotent.
    public func close() async { await shutDown(SFTPError(.cancelled, "the connection was closed")) }

    /// From the server, since it was opened.
    package var bytesReceived: Int64 { received.load(ordering: .relaxed) }

    public var isOpen: Bool { state.withLock { $0.end == nil } }

    // MARK: Threads

    private func writeLoop() {
        // A server that went away is an error of write(2), not the end of this process.
        Descriptors.blockBrokenPipe()
        while true {
            wakeWriter.wait()
            while true {
                let next = state.withLock { state -> [ByteBuffer]? in
                    if state.end != nil { return nil }
                    guard state.isSendingDue else {
                        state.isWriterAwake = false
                        return []
                    }
                    state.hasImpatient = false
                    return state.outgoing.takeAll()
                }
                guard let next else { return }
                if next.isEmpty { break }
                do throws(SFTPError) {
                    for part in next {
                        try Descriptors.writeAll(part.readableBytesView, to: channel.output)
                    }
                } catch { return end(error) }
            }
        }
    }

    private func readLoop() {
        var frames = FrameBuffer()
        do throws(SFTPError) {
            while true {
                while let packet = try frames.next() { try dispatch(packet) }
                // What the answers led to, all at once.
                if state.withLock({ $0.wakesWriter(atOnce: false) }) { wakeWriter.signal() }
                try waitForInput()
                let count = try Descriptors.read(channel.input, into: frames.space())
                guard count > 0 else { throw SFTPError(.connectionLost, "the server ended the connection") }
                frames.arrived(count)
                received.wrappingAdd(Int64(count), ordering: .relaxed)
            }
        } catch { end(error) }
    }

    /// Silence is an error only while the server owes something.
    private func waitForInput() throws(SFTPError) {
        var deadline = ContinuousClock.now + silenceLimit
        while try !Descriptors.waitForInput(channel.input, until: deadline) {
            let next = state.withLock { state -> ContinuousClock.Instant? in
                if state.end != nil { return nil }
                return (state.table.isEmpty ? .now : state.owesSince) + silenceLimit
            }
            guard let next, next > .now else {
                throw SFTPError(
                    .connectionLost, "the server did not answer for \(silenceLimit)")
            }
            deadline = next
        }
    }

    private func dispatch(_ bytes: UnsafeRawBufferPointer) throws(SFTPError) {
        var packet = PacketReader(bytes)
        let number: UInt8 = try packet.integer()
        guard let type = PacketType(rawValue: number) else { throw packet.violation("type \(number)") }
        let id: UInt32 = try packet.integer()
        let view = try ReplyView(type, &packet)
        guard let entry = state.withLock({ $0.table.take(id) }) else {
            throw packet.violation("an answer to request \(id), which nobody asked")
        }
        guard view.answers(entry.request) else {
            let error = packet.violation("an answer of type \(number) to another request")
            entry.handler(.failure(error))
            throw error
        }
        entry.handler(.success(view))
    }

    // MARK: End

    /// What ended it may be known better there: a changed host key, a killed process. What the
    /// server was seen to send, and what was asked for here, nobody knows better.
    private static func cause(_ known: SFTPError?, _ seen: SFTPError) -> SFTPError {
        switch seen.code {
        case .connectionLost, .unreachable: known ?? seen
        default: seen
        }
    }

    private func end(_ reason: SFTPError) {
        Task { await shutDown(reason) }
    }

    private func shutDown(_ reason: SFTPError) async {
        let isFirst = state.withLock { state in
            guard state.end == nil else { return false }
            state.end = reason
            return true
        }
        guard isFirst else { return }
        wakeWriter.signal()
        let channel = channel
        var known = await Blocking.value { channel.end() }
        // It was reached once, and let us in: of all that may be said on the way, only a lost connection is news.
        switch known?.code {
        case .connectionLost, nil: break
        case .unreachable: known?.code = .connectionLost
        default: known = nil
        }
        let final = Self.cause(known, reason)
        let orphans = state.withLock { state in
            state.end = final
            return state.table.takeAll()
        }
        for orphan in orphans { orphan.handler(.failure(final)) }
        // Called once both loops have ended.
        threads.shutdownGracefully { _ in channel.release() }
    }
}

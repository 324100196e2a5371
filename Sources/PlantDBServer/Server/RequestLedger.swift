import Hummingbird
import PlantDBCore
import PlantDBWire
import ServedHTTP
import Synchronization

/// The requests that are at work, and what all of them together hold in memory.
///
/// Those who may only read, anybody among them, have a share of both, so that they keep nobody from writing.
final class RequestLedger: Sendable {
    private struct Count {
        var requests = 0
        /// Of bodies, in bytes.
        var held = 0
    }

    private struct Counts {
        var readers = Count()
        var writers = Count()

        subscript(isWriter: Bool) -> Count {
            get { isWriter ? writers : readers }
            set { if isWriter { writers = newValue } else { readers = newValue } }
        }
    }

    private let counts = Mutex(Counts())
    private let requestLimit: Int
    private let roster: ConnectionRoster

    /// Of the body of a request of somebody who may only read, in bytes.
    fileprivate static let readerBodyLimit = PeerProtocol.readRequestBytes
    private static let readersHeldLimit = 32 << 20
    private static let writersHeldLimit = 128 << 20

    /// - Parameters:
    ///   - requests: at work at once; a quarter of them is never left to those who may only read.
    ///   - roster: where room is made.
    init(requests: Int, roster: ConnectionRoster) {
        requestLimit = requests
        self.roster = roster
    }

    /// - Returns: whether there is room for one more.
    fileprivate func begin(isWriter: Bool) -> Bool {
        let begins = counts.withLock { counts in
            let isFull = counts.readers.requests + counts.writers.requests >= requestLimit
            guard !isFull, isWriter || counts.readers.requests < requestLimit - max(1, requestLimit / 4)
            else {
                return false
            }
            counts[isWriter].requests += 1
            return true
        }
        if !begins { roster.endSlowRequest(.stalled) }
        return begins
    }

    fileprivate func hold(_ bytes: Int, isWriter: Bool) -> Bool {
        let holds = counts.withLock { counts in
            let limit = isWriter ? Self.writersHeldLimit : Self.readersHeldLimit
            guard counts[isWriter].held + bytes <= limit else { return false }
            counts[isWriter].held += bytes
            return true
        }
        if !holds { roster.endSlowRequest(.sending) }
        return holds
    }

    fileprivate func end(_ requests: Int, holding bytes: Int, isWriter: Bool) {
        counts.withLock { counts in
            counts[isWriter].requests -= requests
            counts[isWriter].held -= bytes
        }
    }
}

/// One request in the ledger, until nobody has it any more: its handler, and the body of its answer.
final class RequestPass: Sendable {
    /// Of the request that is being answered.
    @TaskLocal static var current: RequestPass?

    private let ledger: RequestLedger
    private let isWriter: Bool
    private let state = Mutex((isAtWork: false, held: 0))

    init(_ ledger: RequestLedger, isWriter: Bool) {
        self.ledger = ledger
        self.isWriter = isWriter
    }

    deinit {
        let (isAtWork, held) = state.withLock { $0 }
        ledger.end(isAtWork ? 1 : 0, holding: held, isWriter: isWriter)
    }

    /// Begins the work that costs more than a connection: when a body that is kept in memory is here.
    ///
    /// - Throws: `unreachable` if too many requests are at work.
    func begin() throws(DatabaseError) {
        let begins = state.withLock { state in
            if !state.isAtWork { state.isAtWork = ledger.begin(isWriter: isWriter) }
            return state.isAtWork
        }
        guard begins else { throw Self.tooMuch }
    }

    /// The whole body of a request that is kept in memory.
    ///
    /// - Throws: `invalidArgument` if it has more than `limit` bytes, or than whoever sent it may send;
    ///   `unreachable` if all requests hold too much; as ``RequestBytes/next()``.
    static func collect(_ body: RequestBytes, upTo limit: Int) async throws(DatabaseError) -> [UInt8] {
        let limit = current?.isWriter == false ? min(limit, RequestLedger.readerBodyLimit) : limit
        var bytes: [UInt8] = []
        while let more = try await body.next() {
            guard bytes.count + more.readableBytes <= limit else {
                throw DatabaseError(
                    .invalidArgument,
                    "the body of the request is larger than the \(limit) bytes that it may have")
            }
            try current?.hold(more.readableBytes)
            bytes.append(contentsOf: more.readableBytesView)
        }
        try current?.begin()
        return bytes
    }

    private func hold(_ bytes: Int) throws(DatabaseError) {
        guard ledger.hold(bytes, isWriter: isWriter) else { throw Self.tooMuch }
        state.withLock { $0.held += bytes }
    }

    private static var tooMuch: DatabaseError {
        DatabaseError(.unreachable, "the server has too much to do at present; try again in a moment")
    }
}

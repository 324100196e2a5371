import NIOCore

/// One part of a scan in flight. Sources, filters, archives and targets all speak this type.
///
/// A stream of parts is a sequence of files, each `begin`, any number of `bytes`, `end`.
/// Directories are a `begin` and an `end`.
public enum ScanPart: Sendable {
    case begin(FileEntry)
    case bytes(ByteBuffer)
    /// With the digest of the file if the source knows it.
    case end(Digest?)
}

/// A stream of parts, pulled: the source produces no more than the target asks for.
///
/// Iterate it once. Dropping it (or cancelling the task that iterates) ends the source's
/// work; whatever it had open is closed when the last reference to it goes.
public struct ScanPartStream: AsyncSequence, Sendable {
    public typealias Element = ScanPart
    public typealias Failure = DatabaseError

    private let pull: @Sendable () async throws(DatabaseError) -> ScanPart?

    /// `pull` is called by one task at a time, and not again after it returned nil or threw.
    public init(pull: @escaping @Sendable () async throws(DatabaseError) -> ScanPart?) {
        self.pull = pull
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let pull: @Sendable () async throws(DatabaseError) -> ScanPart?

        public mutating func next() async throws(DatabaseError) -> ScanPart? { try await pull() }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(DatabaseError)
            -> ScanPart?
        { try await pull() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(pull: pull) }
}

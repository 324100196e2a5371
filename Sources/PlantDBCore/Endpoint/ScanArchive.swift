import NIOCore
import Synchronization

/// A whole scan as one ZIP, on its way from a peer that shows scans as archives to one that takes
/// them: its bytes are handed on unchanged, and checked in passing.
public struct ScanArchive: Sendable {
    /// The files and directories that it holds.
    public let entries: [FileEntry]
    /// Of the files.
    public let checksums: [ScanPath: UInt32]
    /// Of the archive, in bytes.
    public let size: Int64
    /// The archive from its beginning, anew at each call. Its last piece is held back until everything
    /// was found to be what `entries` and `checksums` say; it throws
    /// ``DatabaseError/Code/sourceChanged`` where it is not.
    public let pieces: @Sendable (ByteMeter) -> @Sendable () async throws(DatabaseError) -> ByteBuffer?
    /// What the scan's `metadata/metadata.json` was found to hold, once all pieces were taken.
    public let scanMetadata: @Sendable () -> ByteBuffer?

    package init(
        entries: [FileEntry], checksums: [ScanPath: UInt32], size: Int64,
        scanMetadata: @escaping @Sendable () -> ByteBuffer?,
        pieces: @escaping @Sendable (ByteMeter) -> @Sendable () async throws(DatabaseError) -> ByteBuffer?
    ) {
        self.entries = entries
        self.checksums = checksums
        self.size = size
        self.scanMetadata = scanMetadata
        self.pieces = pieces
    }
}

/// The fast path of a source that shows scans as archives.
public protocol ArchiveSource: Sendable {
    /// nil where the archive holds anything else than the selection, or has a form that not all
    /// servers take.
    func archive(of selection: EntrySelection) async throws(DatabaseError) -> ScanArchive?
}

/// The fast path of a target that takes scans as archives.
public protocol ArchiveReceiver: Sendable {
    /// Keeps it for the commit, which pulls and sends it.
    func receive(_ archive: ScanArchive, meter: ByteMeter) async throws(DatabaseError)
}

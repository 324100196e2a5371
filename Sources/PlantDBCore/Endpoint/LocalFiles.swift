/// The fast path of a side whose files this process can open: the other side works on the
/// descriptors, and no byte crosses an async stream (one element a packet costs a third of
/// the throughput).
///
/// The descriptor calls block; make them on threads that may (never on the cooperative pool).
public protocol LocalFileSource: Sendable {
    func openFiles(of scan: ScanID) async throws(DatabaseError) -> any LocalScanFiles
}

/// The files of one scan, open for reading.
public protocol LocalScanFiles: Sendable {
    /// A descriptor for reading, which the caller closes. No symbolic link is followed, and
    /// nothing outside the scan can be reached. Blocks.
    ///
    /// - Throws: ``DatabaseError/Code/sourceChanged`` if the file is no longer what `entry`
    ///   says (kind, size, time).
    func open(_ entry: FileEntry) throws(DatabaseError) -> CInt
    /// Whether the open file is still what `entry` says; call it after the last read. Blocks.
    /// - Throws: ``DatabaseError/Code/sourceChanged``.
    func confirm(_ entry: FileEntry, descriptor: CInt) throws(DatabaseError)
}

/// Staging that is written through descriptors.
public protocol LocalFileReceiver: Sendable {
    /// Copies the selected entries straight from another local database, in the kernel.
    ///
    /// Goes on after a file that cannot be read, so that all of them can be named; the
    /// outcome lists them.
    func receive(_ selection: EntrySelection, from files: any LocalScanFiles, meter: ByteMeter)
        async throws(DatabaseError) -> LocalCopyOutcome
    /// A new staged file of the entry's size, open for writing at any offset; finish it with
    /// ``finish(_:descriptor:digest:)``. Blocks.
    func create(_ entry: FileEntry) throws(DatabaseError) -> CInt
    /// Sets mode and time, checks the size, and closes the descriptor. Blocks.
    /// - Throws: ``DatabaseError/Code/verificationFailed`` if the size is not the entry's.
    func finish(_ entry: FileEntry, descriptor: CInt, digest: Digest?) throws(DatabaseError)
    /// The staged file of that entry, gone: it could not be finished. The caller has closed it. Blocks.
    func discard(_ entry: FileEntry) throws(DatabaseError)
    /// A staged directory. Blocks.
    func makeDirectory(_ entry: FileEntry) throws(DatabaseError)
}

/// The fast path of a source that is not on this machine: it writes into staged files here
/// itself, and no byte crosses an async stream.
public protocol FileFetcher: Sendable {
    /// Goes on after a file that cannot be read, so that all of them can be named.
    func fetch(_ selection: EntrySelection, into receiver: any LocalFileReceiver, meter: ByteMeter)
        async throws(DatabaseError) -> LocalCopyOutcome
}

/// The fast path of a target that is not on this machine: it reads files here itself.
public protocol FileSender: Sendable {
    /// Goes on after a file that cannot be read, so that all of them can be named.
    func send(_ selection: EntrySelection, from files: any LocalScanFiles, meter: ByteMeter)
        async throws(DatabaseError) -> LocalCopyOutcome
}

/// What became of a kernel copy.
public struct LocalCopyOutcome: Sendable {
    public var filesStaged: Int
    public var bytesStaged: Int64
    /// One error a file that could not be read or written.
    public var failures: [DatabaseError]

    public init(filesStaged: Int, bytesStaged: Int64, failures: [DatabaseError]) {
        self.filesStaged = filesStaged
        self.bytesStaged = bytesStaged
        self.failures = failures
    }

    public static let nothing = LocalCopyOutcome(filesStaged: 0, bytesStaged: 0, failures: [])

    /// Both together, of different files.
    package func adding(_ other: LocalCopyOutcome) -> LocalCopyOutcome {
        LocalCopyOutcome(
            filesStaged: filesStaged + other.filesStaged,
            bytesStaged: bytesStaged.addingSaturated(other.bytesStaged), failures: failures + other.failures)
    }
}

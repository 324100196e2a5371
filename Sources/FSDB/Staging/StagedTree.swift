import CPlatform
import Glibc
import PlantDBCore
import Synchronization

/// The staged files of one scan: written through descriptors, each created exclusively.
final class StagedTree: LocalFileReceiver {
    let directory: Directory
    private let scan: ScanID
    private let verifiesContent: Bool
    private let keepsModes: Bool
    private let made = Mutex<Made>(Made())

    private struct Made {
        /// Directories that exist in the tree.
        var paths: Set<ScanPath> = []
        /// One of them: files mostly come directory by directory.
        var last = ""
        /// Those whose times and modes are set when everything is in them.
        var entries: [FileEntry] = []
    }

    init(scan: ScanID, directory: Directory, verifiesContent: Bool) {
        self.scan = scan
        self.directory = directory
        self.verifiesContent = verifiesContent
        keepsModes = FileSystemKind(of: directory.descriptor).keepsModes
    }

    /// The umask, which only can be read by setting it: once, before anything is made.
    private static let umask: mode_t = {
        let old = Glibc.umask(0o022)
        Glibc.umask(old)
        return old
    }()

    // MARK: Files

    func create(_ entry: FileEntry) throws(DatabaseError) -> CInt {
        if !made.withLock({ entry.path.isDirectly(in: $0.last) }), let parent = entry.path.parent {
            try makeDirectories(parent)
            made.withLock { $0.last = parent.rawValue }
        }
        do throws(SystemError) {
            // Private until it is published: the staging area's own mode sees to that.
            return try directory.openRaw(
                entry.path.rawValue, flags: O_RDWR | O_CREAT | O_EXCL, mode: mode_t(entry.mode ?? 0o666))
        } catch {
            if error.number == EEXIST {
                throw DatabaseError(
                    .alreadyExists,
                    "\(entry.path) of scan \(scan) and another file of the scan have one name on the target, "
                        + "which does not tell upper and lower case or Unicode spellings apart; rename one",
                    scan: scan, path: entry.path.rawValue)
            }
            if error.mayRefuseName(String(entry.path.name)) {
                throw DatabaseError(
                    .invalidName, "cannot stage \(entry.path) of scan \(scan): \(TargetNames.advice)",
                    cause: error.text, scan: scan, path: entry.path.rawValue)
            }
            throw error.error(
                "stage \(entry.path) of scan \(scan)", scan: scan, path: entry.path.rawValue)
        }
    }

    func finish(_ entry: FileEntry, descriptor: CInt, digest: Digest?) throws(DatabaseError) {
        defer { close(descriptor) }
        let failure = { (error: SystemError) in
            error.error(
                "stage \(entry.path) of scan \(self.scan)", scan: self.scan, path: entry.path.rawValue)
        }
        let size = try SystemError.mapping(failure) { () throws(SystemError) in
            try FileStatus.of(descriptor).size
        }
        guard size == entry.size else { throw mismatch(entry, "\(size) of \(entry.size) bytes arrived") }
        if verifiesContent, let digest {
            let staged = try SystemError.mapping(failure) { () throws(SystemError) in
                try readBack(descriptor)
            }
            guard staged == digest else {
                throw mismatch(entry, "reading it back gave other bytes than were sent")
            }
        }
        try SystemError.mapping(failure) { () throws(SystemError) in
            try setAttributes(entry, descriptor: descriptor)
        }
    }

    private func setAttributes(_ entry: FileEntry, descriptor: CInt) throws(SystemError) {
        // The mode was given when the file was made; only what the umask took is missing.
        if keepsModes, let mode = entry.mode, mode_t(mode) & Self.umask != 0,
            fchmod(descriptor, mode_t(mode)) != 0
        {
            throw SystemError()
        }
        guard let modified = entry.modified else { return }
        try modified.set(on: descriptor)
    }

    /// The digest of what the disk has, not of what the cache remembers.
    private func readBack(_ descriptor: CInt) throws(SystemError) -> Digest {
        guard fdatasync(descriptor) == 0 else { throw SystemError() }
        posix_fadvise(descriptor, 0, 0, CInt(POSIX_FADV_DONTNEED))
        return try ContentHasher.digest(of: descriptor).digest
    }

    func mismatch(_ entry: FileEntry, _ how: String) -> DatabaseError {
        DatabaseError(
            .verificationFailed,
            "\(entry.path) of scan \(scan) was not published: \(how); run the same command again", scan: scan,
            path: entry.path.rawValue)
    }

    /// The staged file of that path, gone: it could not be finished.
    func discard(_ entry: FileEntry) throws(DatabaseError) {
        try directory.remove(entry.path.rawValue)
    }

    // MARK: Directories

    func makeDirectory(_ entry: FileEntry) throws(DatabaseError) {
        try makeDirectories(entry.path)
        made.withLock { $0.entries.append(entry) }
    }

    private func makeDirectories(_ path: ScanPath) throws(DatabaseError) {
        if made.withLock({ $0.paths.contains(path) }) { return }
        if let parent = path.parent { try makeDirectories(parent) }
        try directory.makeDirectory(path.rawValue)
        made.withLock { _ = $0.paths.insert(path) }
    }

    /// Times and modes of directories, once nothing is added to them any more; deepest first.
    func finishDirectories() throws(DatabaseError) {
        let entries = made.withLock { $0.entries }.sorted { $0.path > $1.path }
        for entry in entries { try directory.setAttributes(entry) }
    }

    // MARK: Kernel copy

    func receive(_ selection: EntrySelection, from files: any LocalScanFiles, meter: ByteMeter)
        async throws(DatabaseError) -> LocalCopyOutcome
    {
        let progress = Mutex(LocalCopyOutcome.nothing)
        let copy = KernelCopy(files: files, tree: self, meter: meter, verifiesContent: verifiesContent)
        // More than a few at a time fight for the directory's lock and the disk.
        let workers = min(4, max(2, BlockingThreads.processorCount))
        try await copy.cancelling { () async throws(DatabaseError) in
            try await BlockingThreads.forEach(
                selection.count, workers: workers, while: "copying scan \(selection.scan)"
            ) { index throws(DatabaseError) in
                let entry = selection[index]
                do throws(DatabaseError) {
                    try copy.copy(entry)
                    if entry.kind == .file {
                        progress.withLock { outcome in
                            outcome.filesStaged += 1
                            outcome.bytesStaged = outcome.bytesStaged.addingSaturated(entry.size)
                        }
                    }
                } catch {
                    // A full disk or a cancelled run will not get better with the next file.
                    if error.code == .noSpace || error.code == .cancelled { throw error }
                    progress.withLock { $0.failures.append(error) }
                }
            }
        }
        return progress.withLock { $0 }
    }
}

extension Directory {
    /// Sets time and mode of something beneath it.
    func setAttributes(_ entry: FileEntry) throws(DatabaseError) {
        do throws(SystemError) {
            let opened = try openRaw(entry.path.rawValue, flags: O_RDONLY | O_NONBLOCK)
            defer { close(opened) }
            if let mode = entry.mode, FileSystemKind(of: opened).keepsModes, fchmod(opened, mode_t(mode)) != 0
            {
                throw SystemError()
            }
            try entry.modified?.set(on: opened)
        } catch { throw failure(error, "set time and mode of", entry.path.rawValue) }
    }
}

extension ModificationTime {
    /// Sets the modification time of an open file, and leaves its access time alone.
    func set(on descriptor: CInt) throws(SystemError) {
        guard plantdb_set_modified(descriptor, seconds, subsecondNanoseconds) == 0 else {
            throw SystemError()
        }
    }
}

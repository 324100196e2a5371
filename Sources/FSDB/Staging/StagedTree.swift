import CPlatform
import Glibc
import PlantDBCore
import Synchronization

/// The staged files of one scan: written through descriptors, each created exclusively.
final class StagedTree: LocalFileReceiver {
    /// In the staging area.
    let name: String
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
        /// Files that are created and not finished.
        var unfinished: Set<ScanPath> = []
        /// What is there to be published.
        var content = TreeContent()
        /// Whether some of it lies in a `webcache`.
        var holdsCaches = false
    }

    init(scan: ScanID, name: String, directory: Directory, verifiesContent: Bool) {
        self.scan = scan
        self.name = name
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
            let descriptor = try directory.openRaw(
                entry.path.rawValue, flags: O_RDWR | O_CREAT | O_EXCL, mode: mode_t(entry.mode ?? 0o666))
            made.withLock { _ = $0.unfinished.insert(entry.path) }
            return descriptor
        } catch {
            if error.number == EEXIST { throw oneName(entry.path, "file") }
            if error.mayRefuseName(String(entry.path.name)) {
                throw DatabaseError(
                    .invalidName, "cannot stage \(entry.path) of scan \(scan): \(TargetNames.advice)",
                    cause: error.text, scan: scan, path: entry.path.rawValue)
            }
            throw error.error(
                "stage \(entry.path) of scan \(scan)", scan: scan, path: entry.path.rawValue)
        }
    }

    private func oneName(_ path: ScanPath, _ kind: String) -> DatabaseError {
        DatabaseError(
            .alreadyExists,
            "\(path) of scan \(scan) and another \(kind) of the scan have one name on the target, "
                + "which does not tell upper and lower case or Unicode spellings apart; rename one",
            scan: scan, path: path.rawValue)
    }

    func finish(_ entry: FileEntry, descriptor: CInt, digest: Digest?) throws(DatabaseError) {
        let failure = { (error: SystemError) in
            error.error(
                "stage \(entry.path) of scan \(self.scan)", scan: self.scan, path: entry.path.rawValue)
        }
        try WrittenFile.closing(descriptor, orThrow: { failure(SystemError($0)) }) {
            () throws(DatabaseError) in
            try complete(entry, descriptor, digest, failure)
        }
        made.withLock { made in
            made.unfinished.remove(entry.path)
            made.content.insert(.file, entry.path, size: entry.size)
        }
    }

    private func complete(
        _ entry: FileEntry, _ descriptor: CInt, _ digest: Digest?,
        _ failure: (SystemError) -> DatabaseError
    ) throws(DatabaseError) {
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

    /// The staged file of that path, gone: it could not be finished, or is not what it was taken for.
    func discard(_ entry: FileEntry) throws(DatabaseError) {
        try directory.remove(entry.path.rawValue)
        made.withLock { made in
            if made.unfinished.remove(entry.path) != nil { return }
            made.content.remove(.file, entry.path, size: entry.size)
        }
    }

    // MARK: Directories

    func makeDirectory(_ entry: FileEntry) throws(DatabaseError) {
        try makeDirectories(entry.path)
        made.withLock { $0.entries.append(entry) }
    }

    private func makeDirectories(_ path: ScanPath) throws(DatabaseError) {
        if made.withLock({ $0.paths.contains(path) }) { return }
        if let parent = path.parent { try makeDirectories(parent) }
        // Made under the lock: one that is there already is one by another name.
        try made.withLock { (made) throws(DatabaseError) in
            guard !made.paths.contains(path) else { return }
            guard try directory.makeDirectory(path.rawValue) else { throw oneName(path, "directory") }
            made.paths.insert(path)
            made.content.insert(.directory, path, size: 0)
            if path.name == ScanPath.webcacheName { made.holdsCaches = true }
        }
    }

    // MARK: All of it

    /// What lies in it, after a look that shows that this is what was staged: what is published is never
    /// less. Without caches, which are nobody's to publish into a scan that is there.
    ///
    /// - Throws: ``DatabaseError/Code/io`` for what cannot be looked at,
    ///   ``DatabaseError/Code/verificationFailed`` for anything else that is not as it was staged.
    func manifest() throws(DatabaseError) -> ScanManifest {
        let found = try ManifestWalk.manifest(
            of: scan, in: directory, descends: true, skipsCaches: false)
        if let skipped = found.skipped.first {
            throw DatabaseError(
                .io,
                "the staged \(skipped.path) of scan \(scan) could not be looked at; nothing of the scan was "
                    + "published, run the same command again",
                cause: skipped.detail ?? skipped.reason.rawValue,
                scan: scan, path: skipped.path)
        }
        var content = TreeContent()
        for entry in found { content.insert(entry.kind, entry.path, size: entry.size) }
        let (expected, holdsCaches) = made.withLock { ($0.content, $0.holdsCaches) }
        guard content == expected else {
            throw DatabaseError(
                .verificationFailed,
                "what is staged of scan \(scan) is not what was written there (\(content.files) of "
                    + "\(expected.files) files, \(content.directories) of \(expected.directories) directories); "
                    + "nothing of the scan was published, run the same command again", scan: scan)
        }
        guard holdsCaches else { return found }
        return try ScanManifest(
            scan: scan, entries: found.filter { !$0.path.components.contains { $0 == ScanPath.webcacheName } }
        )
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

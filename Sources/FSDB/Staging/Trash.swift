import CPlatform
import Glibc
import PlantDBCore

/// What a target keeps of what runs removed or replaced: `.plantdb-sync/trash/<run>` in its root. Blocks.
///
/// Whole scans lie there by their names. Single files lie in `.files`, by the names of their scans and
/// their paths. Nothing in it is ever replaced: of two states of one file in one run, the first is what was
/// there before the run.
struct Trash: Sendable {
    let root: Directory
    /// nil: nothing is kept.
    let run: String?

    var isKept: Bool { run != nil }

    /// The directory of the run, with that of the timelapse that the scan lies in.
    ///
    /// - Throws: ``DatabaseError/Code/invalidArgument`` where nothing is kept.
    func directory(for scan: ScanID) throws(DatabaseError) -> Directory {
        guard let run else {
            throw DatabaseError(.invalidArgument, "nothing says where scan \(scan) is to be kept", scan: scan)
        }
        let path = DatabaseLayout.trash + "/" + run
        try root.makeDirectories(path, mode: 0o700)
        if let container = scan.container { try root.makeDirectories(path + "/" + container.rawValue) }
        return try root.directory(path)
    }

    /// Where single files of the scan are kept.
    func files(of scan: ScanID) throws(DatabaseError) -> TrashedFiles {
        let directory = try directory(for: scan)
        let path = DatabaseLayout.trashedFiles + "/" + scan.rawValue
        try directory.makeDirectories(path)
        return TrashedFiles(directory: try directory.directory(path))
    }
}

extension Directory {
    /// Of a run's trash: under which name a whole scan is kept.
    func freeName(for scan: ScanID) throws(DatabaseError) -> String {
        try status(of: scan.rawValue) == nil ? scan.rawValue : scan.rawValue + "." + randomName()
    }

    /// Of a run's trash: keeps a whole scan. A timelapse, whose scans went before it, comes to them.
    func take(_ scan: ScanID, from root: Directory) throws(DatabaseError) {
        guard let members = try directoryIfPresent(scan.rawValue),
            try members.status(of: ScanPath.index.rawValue) == nil,
            try members.status(of: ScanPath.timelapseMarker.rawValue) == nil
        else { return try root.moveTree(scan.rawValue, to: self, try freeName(for: scan)) }
        let container = try root.directory(scan.rawValue)
        for name in try container.names() { try container.moveTree(name, to: members, name) }
        try root.remove(scan.rawValue, directory: true)
    }
}

/// Files of one scan that a run replaced or removed.
struct TrashedFiles {
    let directory: Directory
    private var made: Set<ScanPath> = []

    init(directory: Directory) { self.directory = directory }

    /// Keeps a file that is about to be replaced. Its name stays: the file gets a second one, or is copied
    /// where the file system gives it none.
    mutating func keep(_ path: ScanPath, of scan: Directory) throws(DatabaseError) {
        try makeParents(of: path)
        do throws(SystemError) {
            try scan.withParent(of: path.rawValue) { from, name throws(SystemError) in
                try directory.withParent(of: path.rawValue) { to, _ throws(SystemError) in
                    guard linkat(from, name, to, name, 0) == 0 else { throw SystemError() }
                }
            }
        } catch {
            switch error.number {
            case EEXIST, ENOENT:
                // ENOENT: it has gone; whoever replaces it finds that out.
                return
            case EPERM, EOPNOTSUPP, ENOSYS, EMLINK, EXDEV, EINVAL: try copy(path, of: scan)
            default: throw directory.failure(error, "keep", path.rawValue)
            }
        }
    }

    /// Keeps a file that goes.
    mutating func move(_ path: ScanPath, from scan: Directory) throws(DatabaseError) {
        try makeParents(of: path)
        do throws(DatabaseError) {
            try scan.rename(path.rawValue, to: directory, path.rawValue, replaces: false)
        } catch {
            guard error.code == .alreadyExists else { throw error }
            try scan.remove(path.rawValue)
        }
    }

    func flush() throws(DatabaseError) { try directory.flushContents() }

    private mutating func makeParents(of path: ScanPath) throws(DatabaseError) {
        guard let parent = path.parent, made.insert(parent).inserted else { return }
        try directory.makeDirectories(parent.rawValue)
    }

    private func copy(_ path: ScanPath, of scan: Directory) throws(DatabaseError) {
        let source = try scan.open(path.rawValue, flags: O_RDONLY | O_NONBLOCK)
        defer { close(source) }
        let failure = { (error: SystemError) in directory.failure(error, "keep", path.rawValue) }
        let copy: CInt
        do throws(DatabaseError) {
            copy = try directory.open(path.rawValue, flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
        } catch {
            if error.code == .alreadyExists { return }
            throw error
        }
        do throws(DatabaseError) {
            try WrittenFile.closing(copy, orThrow: { failure(SystemError($0)) }) { () throws(DatabaseError) in
                do throws(SystemError) {
                    let status = try FileStatus.of(source)
                    try Descriptor.copyAll(from: source, to: copy)
                    // Best effort: where modes are not kept, the content still is.
                    fchmod(copy, mode_t(status.mode))
                    try status.modified.set(on: copy)
                } catch { throw failure(error) }
            }
        } catch {
            try directory.remove(path.rawValue)
            throw error
        }
    }
}

import Glibc
import PlantDBCore
import Synchronization

/// Where a target keeps what is not published yet: `.plantdb-sync` in its root.
///
/// `.plantdb-sync/staging/<random>` belongs to one open endpoint, which holds a flock(2) on it
/// for as long as it lives; the next one removes what nobody holds. Two levels deep, because
/// upstream 0.14 loads a hidden directory that looks like a scan.
final class StagingArea: Sendable {
    let root: Directory
    /// Private (0700).
    let directory: Directory
    private let ownName: String

    init(root: Directory) throws(DatabaseError) {
        self.root = root
        // Others that start or end at this moment may take a directory away that nobody holds
        // yet; each attempt is lost to another of them, so a few are plenty.
        for _ in 0..<100 {
            if let (name, directory) = try Self.claim(in: root) {
                ownName = name
                self.directory = directory
                return
            }
        }
        throw DatabaseError(.io, "cannot keep a staging directory in \(root.path.printable)")
    }

    /// A new directory, locked; nil if it went away before it was.
    private static func claim(in root: Directory) throws(DatabaseError) -> (String, Directory)? {
        try root.makeDirectory(DatabaseLayout.work, mode: 0o700)
        let staging = DatabaseLayout.staging
        do throws(DatabaseError) {
            try root.makeDirectory(staging, mode: 0o700)
            guard let parent = try root.directoryIfPresent(staging) else { return nil }
            try reclaim(in: parent)
            let name = randomName()
            try parent.makeDirectory(name, mode: 0o700)
            guard let directory = try parent.directoryIfPresent(name) else { return nil }
            do throws(SystemError) {
                // NFS cannot lock a directory. The database's lock keeps others from reclaiming it.
                guard try Flock.attempt(directory.descriptor, .exclusive) != .refused,
                    try Flock.isNamed(directory.descriptor, name, in: parent.descriptor)
                else { return nil }
            } catch { throw directory.failure(error, "lock", ".") }
            return (name, directory)
        } catch {
            guard error.code == .notFound else {
                // Full, say: nothing is to be left of it.
                reclaim(root: root)
                throw error
            }
            return nil
        }
    }

    /// Removes what runs that died have left, though this run may stage nothing. Call with the
    /// database locked. Best effort: what stays is reclaimed by a later run.
    static func reclaim(root: Directory) {
        do throws(DatabaseError) {
            let staging = DatabaseLayout.staging
            guard try root.directoryIfPresent(DatabaseLayout.work) != nil else { return }
            if let parent = try root.directoryIfPresent(staging) { try reclaim(in: parent) }
            try root.removeIfEmpty(staging)
            try root.removeIfEmpty(DatabaseLayout.work)
        } catch {
            // Whoever stages something meets it again, and says so.
        }
    }

    /// Removes the staging of runs that died.
    private static func reclaim(in parent: Directory) throws(DatabaseError) {
        for entry in try parent.entries() {
            guard let name = entry.text, let abandoned = try parent.directoryIfPresent(name) else { continue }
            do throws(SystemError) {
                // Where it cannot be locked, nothing tells whether its owner lives; leave it.
                guard try Flock.attempt(abandoned.descriptor, .exclusive) == .taken else { continue }
            } catch { throw abandoned.failure(error, "look at the lock", ".") }
            try parent.removeTree(name)
        }
    }

    /// Whether it is still where it was made: who locks the database over SFTP sees no flock, and
    /// takes away what lies there while nobody is at work.
    var isInPlace: Bool {
        do {
            guard let parent = try root.directoryIfPresent(DatabaseLayout.staging) else {
                return false
            }
            return try Flock.isNamed(directory.descriptor, ownName, in: parent.descriptor)
        } catch {
            // Whatever it is, who writes there meets it and says so.
            return true
        }
    }

    /// A new directory in a private one, which may become a scan's own and has the mode of one.
    func makeTree() throws(DatabaseError) -> (name: String, directory: Directory) {
        let own = randomName()
        try directory.makeDirectory(own, mode: 0o700)
        let name = own + "/tree"
        try directory.makeDirectory(name)
        return (name, try directory.directory(name))
    }

    /// Removes what is left of a tree, and the directory around it.
    func discard(tree name: String) throws(DatabaseError) {
        try directory.removeTree(String(name.prefix { $0 != "/" }))
    }

    /// Removes what is its own, and the whole area if nothing else is in it.
    func close() {
        do throws(DatabaseError) {
            let staging = DatabaseLayout.staging
            try root.removeTree(staging + "/" + ownName)
            try root.removeIfEmpty(staging)
            try root.removeIfEmpty(DatabaseLayout.work)
        } catch {
            // Left for the next run, which reclaims it.
        }
    }
}

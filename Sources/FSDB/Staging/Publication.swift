import CPlatform
import Glibc
import PlantDBCore

/// Makes a staged scan visible. Blocks.
struct Publication: Sendable {
    let scan: ScanID
    /// nil: the scan must not exist, or be the one that is displaced.
    let base: ScanRevision?
    let root: Directory
    let options: TransactionOptions

    /// Above this many files one flush of the file system is cheaper than one a file.
    private static let singleFlushes = 8

    /// - Returns: what is to be updated; nil: the scan is new, or displaces another one.
    func checkBase() throws(DatabaseError) -> ScanManifest? {
        let current = try FSDBEndpoint.manifest(of: scan, in: root)
        switch (base ?? options.displaced, current) {
        case (nil, nil):
            if let container = scan.container,
                try root.status(of: container.rawValue + "/" + ScanPath.timelapseMarker.rawValue) == nil
            {
                throw DatabaseError(
                    .conflict, "the timelapse container \(container) is not on the target", scan: scan)
            }
            if try root.status(of: scan.rawValue) != nil {
                throw DatabaseError(.conflict, "a file has the name of scan \(scan)", scan: scan)
            }
            return nil
        case (nil, .some):
            throw try nameIsTaken()
        case (.some, nil):
            throw DatabaseError(
                .conflict, "scan \(scan) has vanished from the target meanwhile; run the same command again",
                scan: scan)
        case (.some(let expected), .some(let current)):
            guard current.revision == expected else {
                throw DatabaseError(
                    .conflict,
                    "somebody changed scan \(scan) on the target meanwhile; run the same command again",
                    scan: scan)
            }
            return base == nil ? nil : current
        }
    }

    /// What of a commit takes time is done before anybody is locked out: the staged tree is looked at, and
    /// what must be on disk is flushed.
    ///
    /// - Parameter current: as ``checkBase()`` found it when staging began.
    func prepare(_ tree: StagedTree, replacing current: ScanManifest?) throws(DatabaseError) -> ScanManifest {
        do throws(DatabaseError) {
            let staged = try tree.manifest()
            guard let current else {
                try tree.finishDirectories()
                if options.durability == .always { try tree.directory.flushContents() }
                return staged
            }
            try flush(staged, replacing: try spelled(current, as: staged), in: tree.directory)
            return staged
        } catch { throw error.locating(scan: scan) }
    }

    /// Looks once more, and puts everything in place. Call it with the scan locked.
    ///
    /// - Parameter staged: as ``prepare(_:replacing:)`` gave it.
    func publish(
        _ staged: ScanManifest, of tree: StagedTree, in area: StagingArea, removals: [ScanPath],
        attributes: [FileEntry]
    ) throws(DatabaseError) {
        do throws(DatabaseError) {
            guard let found = try checkBase() else { return try publishNew(tree, in: area) }
            let update = ScanUpdate(
                of: try spelled(found, as: staged), with: staged, removals: removals, attributes: attributes)
            try carryOut(update, from: tree.directory, trash: Trash(root: root, run: options.trash))
        } catch { throw error.locating(scan: scan) }
    }

    /// What the scan holds, by the names under which it is about to be replaced: where the file system takes
    /// two spellings for one name, neither is taken for new, and neither is removed because of the other.
    private func spelled(_ current: ScanManifest, as staged: ScanManifest) throws(DatabaseError)
        -> ScanManifest
    {
        let possible = current.possibleSpellings(of: staged)
        if possible.isEmpty { return current }
        let target = try root.directory(scan.rawValue)
        var spellings: [PathSpelling] = []
        for spelling in possible where try target.status(of: spelling.other.rawValue) != nil {
            spellings.append(spelling)
        }
        return try current.respelled(spellings)
    }

    // MARK: A new scan

    private func publishNew(_ tree: StagedTree, in area: StagingArea) throws(DatabaseError) {
        if options.displaced != nil {
            try displace(by: tree, in: area)
        } else {
            do throws(DatabaseError) {
                try area.directory.rename(tree.name, to: root, scan.rawValue, replaces: false)
            } catch {
                guard error.code == .alreadyExists else { throw error }
                throw try nameIsTaken()
            }
        }
        if options.durability == .always { try root.directory(holding: scan).flush() }
    }

    /// The new scan and the old one change places at once: the old one is in the trash, or in its own place,
    /// whatever happens.
    private func displace(by tree: StagedTree, in area: StagingArea) throws(DatabaseError) {
        let run = try Trash(root: root, run: options.trash).directory(for: scan)
        let kept = try run.freeName(for: scan)
        try area.directory.rename(tree.name, to: run, kept, replaces: false)
        do throws(SystemError) {
            guard
                plantdb_renameat2(
                    run.descriptor, kept, root.descriptor, scan.rawValue, UInt32(PLANTDB_RENAME_EXCHANGE))
                    == 0
            else { throw SystemError() }
        } catch {
            // Where two names cannot change places, readers see neither for a moment.
            try run.rename(kept, to: area.directory, tree.name, replaces: false)
            guard [EINVAL, ENOSYS, EPERM, EXDEV].contains(error.number) else {
                throw root.failure(error, "publish", scan.rawValue)
            }
            try root.moveTree(scan.rawValue, to: run, kept)
            try area.directory.rename(tree.name, to: root, scan.rawValue, replaces: false)
        }
        if options.durability == .always { try run.flush() }
    }

    private func nameIsTaken() throws(DatabaseError) -> DatabaseError {
        .nameIsTaken(scan, among: try root.directory(holding: scan).names())
    }

    // MARK: An update

    private func carryOut(_ update: ScanUpdate, from staging: Directory, trash: Trash) throws(DatabaseError) {
        let target = try root.directory(scan.rawValue)
        var kept = try trash.isKept && !update.superseded.isEmpty ? trash.files(of: scan) : nil
        // All of it before anything is replaced: where it cannot be kept, nothing is.
        for (_, files) in update.placements {
            for case let old? in files.map(\.old) { try kept?.keep(old.path, of: target) }
        }
        if options.durability == .always { try kept?.flush() }

        var parents = OpenParents(scan: scan, target: target, staging: staging)
        for entry in update.newDirectories {
            if try target.makeDirectory(entry.path.rawValue) {
                try target.setAttributes(entry)
                parents.touch(entry.path.parent)
            }
        }
        for (_, files) in update.placements {
            for file in files { try parents.publish(file.path, inPlaceOf: file.old) }
        }
        for entry in update.attributes { try target.setAttributes(entry) }
        for entry in update.removals {
            try target.confirm(entry, of: scan, entry.path.rawValue)
            if kept != nil {
                try kept?.move(entry.path, from: target)
            } else {
                try target.remove(entry.path.rawValue)
            }
            parents.touch(entry.path.parent)
        }
        for path in update.removedDirectories {
            try target.removeIfEmpty(path.rawValue)
            parents.touch(path.parent)
        }
        if update.removesCaches { try target.removeTree(ScanPath.webcacheName) }
        if options.durability == .always {
            if parents.touched.count > Self.singleFlushes, target.flushesAtOnce {
                try target.flushContents()
            } else {
                try parents.flush()
            }
            try target.flush()
            try kept?.flush()
        }
    }

    private func flush(_ staged: ScanManifest, replacing current: ScanManifest, in tree: Directory)
        throws(DatabaseError)
    {
        let files: [FileEntry]
        switch options.durability {
        case .never: return
        case .auto: files = staged.filter { $0.kind == .file && current.position(of: $0.path) != nil }
        case .always: files = staged.filter { $0.kind == .file }
        }
        if files.count > Self.singleFlushes, tree.flushesAtOnce {
            try tree.flushContents()
            return
        }
        for entry in files { try tree.flush(file: entry.path.rawValue) }
    }
}

/// Renames staged files into place, with the directories of both sides kept open in between.
private struct OpenParents {
    let scan: ScanID
    let target: Directory
    let staging: Directory
    private var current: (path: ScanPath?, from: Directory, to: Directory)?
    private(set) var touched: Set<String> = []

    init(scan: ScanID, target: Directory, staging: Directory) {
        self.scan = scan
        self.target = target
        self.staging = staging
    }

    /// - Parameter old: what is to be there now.
    mutating func publish(_ path: ScanPath, inPlaceOf old: FileEntry?) throws(DatabaseError) {
        let parent = path.parent
        if current == nil || current?.path != parent {
            guard let parent else {
                current = (nil, staging, target)
                return try rename(path, inPlaceOf: old)
            }
            current = (parent, try staging.directory(parent.rawValue), try target.directory(parent.rawValue))
            touch(parent)
        }
        try rename(path, inPlaceOf: old)
    }

    /// - Parameter directory: in which names came or went; nil: the scan's own, which is flushed anyway.
    mutating func touch(_ directory: ScanPath?) {
        if let directory { touched.insert(directory.rawValue) }
    }

    private func rename(_ path: ScanPath, inPlaceOf old: FileEntry?) throws(DatabaseError) {
        guard let current else { return }
        let name = String(path.name)
        // What somebody wrote a moment ago is theirs.
        if let old { try current.to.confirm(old, of: scan, name) }
        do throws(SystemError) {
            try Directory.rename(
                from: current.from.descriptor, name, to: current.to.descriptor, name, replaces: old != nil)
        } catch {
            if old == nil, error.number == EEXIST {
                guard try isListed(name, in: current.to) else { throw .oneName(path, of: scan) }
                throw .changedMeanwhile(path, of: scan)
            }
            throw target.failure(error, "publish", path.rawValue)
        }
    }

    /// Whether what is found by a name is listed by it too.
    private func isListed(_ name: String, in directory: Directory) throws(DatabaseError) -> Bool {
        try directory.entries().contains { $0.name.elementsEqual(name.utf8) }
    }

    func flush() throws(DatabaseError) {
        // One may have been removed with what was in it.
        for path in touched { try target.directoryIfPresent(path)?.flush() }
    }
}

extension Directory {
    /// Of a database: the one in which a scan's own directory has its name.
    func directory(holding scan: ScanID) throws(DatabaseError) -> Directory {
        guard let container = scan.container else { return self }
        return try directory(container.rawValue)
    }

    /// - Throws: ``DatabaseError/Code/conflict`` if the file of that name is not what its entry says.
    fileprivate func confirm(_ entry: FileEntry, of scan: ScanID, _ name: String) throws(DatabaseError) {
        guard let now = try status(of: name), now.kind == .file, now.size == entry.size,
            now.modified == entry.modified
        else { throw .changedMeanwhile(entry.path, of: scan) }
    }
}

extension DatabaseError {
    fileprivate static func oneName(_ path: ScanPath, of scan: ScanID) -> DatabaseError {
        DatabaseError(
            .alreadyExists,
            "\(path) of scan \(scan) and another file that the target has are one name there, since it does not "
                + "tell upper and lower case or Unicode spellings apart; rename one at the source",
            scan: scan, path: path.rawValue)
    }

    fileprivate static func changedMeanwhile(_ path: ScanPath, of scan: ScanID) -> DatabaseError {
        DatabaseError(
            .conflict,
            "somebody changed \(path) of scan \(scan) on the target meanwhile; run the same command again",
            scan: scan, path: path.rawValue)
    }
}

/// Takes a whole scan out of a database. Blocks.
struct ScanRemoval: Sendable {
    let scan: ScanID
    let root: Directory
    let area: StagingArea

    /// Call it with the scan locked.
    func run(replacing base: ScanRevision, options: TransactionOptions) throws(DatabaseError) {
        do throws(DatabaseError) {
            let publication = Publication(scan: scan, base: base, root: root, options: options)
            guard let current = try publication.checkBase() else { return }
            if try root.status(of: scan.rawValue + "/" + ScanPath.timelapseMarker.rawValue) != nil {
                try refuseMembers(of: current)
            }
            if options.trash != nil {
                let run = try Trash(root: root, run: options.trash).directory(for: scan)
                try run.take(scan, from: root)
                if options.durability == .always { try run.flush() }
            } else {
                let removed = try area.makeTree()
                try root.moveTree(scan.rawValue, to: removed.directory, "removed")
                try area.discard(tree: removed.name)
            }
            if options.durability == .always { try root.directory(holding: scan).flush() }
        } catch { throw error.locating(scan: scan) }
    }

    private func refuseMembers(of container: ScanManifest) throws(DatabaseError) {
        let directory = try root.directory(scan.rawValue)
        var members = 0
        for entry in try directory.entries()
        where try directory.kind(of: entry) == .directory { members += 1 }
        guard members == 0 else {
            throw DatabaseError(
                .conflict, "the timelapse container \(scan) still holds \(members) directories",
                scan: scan)
        }
    }
}

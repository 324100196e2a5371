import Glibc
import PlantDBCore

/// Makes a staged scan visible. Blocks.
struct Publication: Sendable {
    let scan: ScanID
    /// nil: the scan must not exist.
    let base: ScanRevision?
    let root: Directory
    let options: TransactionOptions

    /// Above this many files one flush of the file system is cheaper than one a file.
    private static let singleFlushes = 8

    @discardableResult
    func checkBase() throws(DatabaseError) -> ScanManifest? {
        let current = try FSDBEndpoint.manifest(of: scan, in: root)
        switch (base, current) {
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
        case (.some(let base), .some(let current)):
            guard current.revision == base else {
                throw DatabaseError(
                    .conflict,
                    "somebody changed scan \(scan) on the target meanwhile; run the same command again",
                    scan: scan)
            }
            return current
        }
    }

    func publish(
        _ tree: StagedTree, named name: String, in area: StagingArea, removals: [ScanPath],
        attributes: [FileEntry]
    ) throws(DatabaseError) {
        do throws(DatabaseError) {
            let found = try checkBase()
            let staged = try tree.manifest()
            guard let found else {
                try publishNew(tree, named: name, in: area)
                return
            }
            let current = try spelled(found, as: staged)
            if try flush(staged, replacing: current, in: tree.directory) {
                // It takes its time, and somebody may have written meanwhile.
                try checkBase()
            }
            try update(
                current, with: staged, from: tree, area: area, removals: removals, attributes: attributes)
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

    private func publishNew(_ tree: StagedTree, named name: String, in area: StagingArea)
        throws(DatabaseError)
    {
        try tree.finishDirectories()
        if options.durability == .always { try tree.directory.flushContents() }
        do throws(DatabaseError) {
            try area.directory.rename(name, to: root, scan.rawValue, replaces: false)
        } catch {
            guard error.code == .alreadyExists else { throw error }
            throw try nameIsTaken()
        }
        if options.durability == .always { try root.directory(holding: scan).flush() }
    }

    private func nameIsTaken() throws(DatabaseError) -> DatabaseError {
        .nameIsTaken(scan, among: try root.directory(holding: scan).names())
    }

    // MARK: An update

    private func update(
        _ current: ScanManifest, with staged: ScanManifest, from tree: StagedTree, area: StagingArea,
        removals: [ScanPath], attributes: [FileEntry]
    ) throws(DatabaseError) {
        let target = try root.directory(scan.rawValue)
        var parents = OpenParents(scan: scan, target: target, staging: tree.directory)

        for entry in staged where entry.kind == .directory {
            if try target.makeDirectory(entry.path.rawValue) {
                try target.setAttributes(entry)
                parents.touch(entry.path.parent)
            }
        }
        for phase in PublishingPhase.allCases {
            for entry in staged where entry.kind == .file && PublishingPhase(of: entry.path) == phase {
                try parents.publish(entry.path, inPlaceOf: current.entry(at: entry.path))
            }
        }
        for entry in attributes { try target.setAttributes(entry) }
        // What was just published goes by no name: the file system may list it otherwise than it was planned.
        let removals = removals.filter { staged.position(of: $0) == nil }
        try remove(removals, from: target, current: current, area: area)
        for path in removals { parents.touch(path.parent) }
        if current.losesData(to: staged, removals) {
            // Thumbnails are named by a hash: whose they are cannot be told.
            try target.removeTree(ScanPath.webcacheName)
        }
        if options.durability == .always {
            if parents.touched.count > Self.singleFlushes, target.flushesAtOnce {
                try target.flushContents()
            } else {
                try parents.flush()
            }
            try target.flush()
        }
    }

    /// - Returns: whether anything was to be flushed.
    private func flush(_ staged: ScanManifest, replacing current: ScanManifest, in tree: Directory)
        throws(DatabaseError) -> Bool
    {
        let files: [FileEntry]
        switch options.durability {
        case .never: return false
        case .auto: files = staged.filter { $0.kind == .file && current.position(of: $0.path) != nil }
        case .always: files = staged.filter { $0.kind == .file }
        }
        if files.count > Self.singleFlushes, tree.flushesAtOnce {
            try tree.flushContents()
            return true
        }
        for entry in files { try tree.flush(file: entry.path.rawValue) }
        return !files.isEmpty
    }

    private func remove(
        _ paths: [ScanPath], from target: Directory, current: ScanManifest, area: StagingArea
    ) throws(DatabaseError) {
        let trash: Directory?
        if let name = options.trash, !paths.isEmpty {
            let run = try area.trash(name, for: scan)
            try run.makeDirectory(scan.rawValue)
            trash = try run.directory(scan.rawValue)
        } else {
            trash = nil
        }
        for path in paths {
            guard let entry = current.entry(at: path) else { continue }
            if entry.kind == .directory {
                try target.removeIfEmpty(path.rawValue)
                continue
            }
            try target.confirm(entry, of: scan, path.rawValue)
            if let trash {
                if let parent = path.parent { try trash.makeDirectories(parent.rawValue) }
                try target.rename(path.rawValue, to: trash, path.rawValue, replaces: true)
            } else {
                try target.remove(path.rawValue)
            }
        }
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
    fileprivate func directory(holding scan: ScanID) throws(DatabaseError) -> Directory {
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

    func run(replacing base: ScanRevision, options: TransactionOptions) throws(DatabaseError) {
        do throws(DatabaseError) {
            let publication = Publication(scan: scan, base: base, root: root, options: options)
            guard let current = try publication.checkBase() else { return }
            if try root.status(of: scan.rawValue + "/" + ScanPath.timelapseMarker.rawValue) != nil {
                try refuseMembers(of: current)
            }
            if let trash = options.trash {
                let run = try area.trash(trash, for: scan)
                // Files of the scan may be there already, from the same run.
                let isTaken = try run.status(of: scan.rawValue) != nil
                let name = isTaken ? scan.rawValue + "." + randomName() : scan.rawValue
                try root.moveTree(scan.rawValue, to: run, name)
                if options.durability == .always { try run.flush() }
            } else {
                let (_, directory) = try area.makeDirectory()
                try root.moveTree(scan.rawValue, to: directory, "removed")
                try directory.removeTree("removed")
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

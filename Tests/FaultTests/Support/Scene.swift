import FSDB
import Glibc
import PlantDBCore
import PlantDBTesting

/// A source and a target with work of every kind between them: files to replace, to add and
/// to delete, scans to add and to remove, a timelapse, a listed file that is absent.
struct Scene {
    let old: SampleDatabase
    let new: SampleDatabase
    let folder: TemporaryDirectory
    let source: String
    var target: String
    let sentinel: String
    /// The target as it is before each round.
    private let template: String
    private let sourceBefore: TreeSnapshot
    private let sentinelBefore: TreeSnapshot

    static let newer = ModificationTime(nanoseconds: SampleTree.time.nanoseconds + 1_000_000_000_001)

    /// - Parameters:
    ///   - hasLockFolders: whether both sides have the `.locks` of upstream 0.15.
    ///   - tinyFiles: files of one byte in a new scan of their own, which take up far more of a
    ///     disk than their sizes say.
    init(hasLockFolders: Bool = true, target: String? = nil, largeFile: Int = 3 << 19, tinyFiles: Int = 0)
        throws
    {
        folder = try TemporaryDirectory()
        source = folder.appending("source")
        self.target = target ?? folder.appending("target")
        sentinel = folder.appending("sentinel")
        template = folder.appending("template")
        (old, new) = try Self.databases(largeFile: largeFile, tinyFiles: tinyFiles)
        try new.write(to: source)
        try old.write(to: template)
        // Sizes that could be on disk before the bytes are.
        for name in ["sparse", "gaps"] { try Self.digHoles(in: source + "/plant_2/images/\(name).bin") }
        try SampleDatabase.plants(1).write(to: sentinel)
        if hasLockFolders {
            for side in [source, template] where mkdir(side + "/.locks", 0o755) != 0 {
                throw SpawnFailure(message: "mkdir .locks")
            }
        }
        sourceBefore = try treeSnapshot(source)
        sentinelBefore = try treeSnapshot(sentinel, includesDirectoryTimes: true)
    }

    private static func databases(largeFile: Int, tinyFiles: Int) throws -> (SampleDatabase, SampleDatabase) {
        var generator = SplitMix64(seed: 5)
        var old = SampleDatabase()
        var new = SampleDatabase()
        var tree = try SampleTree.plant(images: 4)
        try tree.file("models/absent.pt", "x")
        try tree.file("old_fileset/left.txt", "left over")
        try tree.writeIndex()
        try tree.remove("models/absent.pt")
        try old.add("plant_0", tree)
        try tree.file("images/00000_rgb.jpg", generator.bytes(70_000), modified: newer)
        let size = tree["images/00001_rgb.jpg"]?.content.count ?? 0
        try tree.file("images/00001_rgb.jpg", generator.bytes(size), modified: newer)
        try tree.file("scan.toml", "[Scan]\nn_images = 5\n", modified: newer)
        try tree.file("metadata/metadata.json", "{\n    \"object\": {}\n}", modified: newer)
        for path in ["images/00003_rgb.jpg", "metadata/images/00003_rgb.json", "old_fileset"] {
            try tree.remove(path)
        }
        try tree.file("images/00009_rgb.jpg", generator.bytes(9_000), modified: newer)
        try tree.file("metadata/images/00009_rgb.json", "{}", modified: newer)
        try tree.file("Mesh_1/mesh.ply", generator.bytes(20_000), modified: newer)
        try tree.file("models/absent.pt", "x")
        try tree.writeIndex(modified: newer)
        try tree.remove("models/absent.pt")
        try new.add("plant_0", tree)

        try old.add("gone", .plant(images: 2, seed: 9))
        for database in [0, 1] {
            let same = try SampleTree.plant(images: 2, seed: 3)
            if database == 0 { try old.add("same", same) } else { try new.add("same", same) }
        }
        try new.add("plant_1", .plant(images: 3, seed: 11))
        var large = try SampleTree.plant(images: 2, seed: 12)
        try large.file("images/large.bin", generator.bytes(largeFile))
        try large.file(
            "images/sparse.bin", generator.bytes(100_000) + [UInt8](repeating: 0, count: 1 << 21))
        try large.file(
            "images/gaps.bin",
            generator.bytes(9_000) + [UInt8](repeating: 0, count: 1 << 20) + generator.bytes(9_000))
        try large.writeIndex()
        try new.add("plant_2", large)
        if tinyFiles > 0 {
            var tiny = SampleTree()
            try tiny.directory("metadata")
            for index in 0..<tinyFiles { try tiny.file("images/\(index)", "x") }
            try tiny.writeIndex()
            try new.add("tiny", tiny)
        }
        var container = SampleTree()
        try container.file("timelapse.json", "{}")
        try new.add("series", container)
        try new.add("series/day_1", .minimal("one"))
        return (old, new)
    }

    private static func digHoles(in file: String) throws {
        try shell("fallocate", "--dig-holes", file)
        try setModificationTime(file, SampleTree.time)
    }

    /// Puts the target back to where it was in the beginning.
    func reset() throws {
        try removeTree(target)
        try shell("cp", "-a", template, target)
    }

    /// `sync` with everything it deletes allowed.
    func arguments(fsync: String = "auto", _ more: String...) -> [String] {
        [
            "sync", source, target, "--json", "--delete", "--delete-unknown", "--max-delete", "100%",
            "--fsync", fsync,
        ] + more
    }

    // MARK: Checks

    /// I2: what the run reported published is there, whole, and what it reported removed is gone.
    func reportedViolations(_ reported: Set<String>) throws -> [String] {
        var result: [String] = []
        for scan in reported.sorted() {
            let folder = target + "/" + scan
            guard let tree = new[scan] else {
                if access(folder, F_OK) == 0 { result.append("I2 \(scan) was removed, and is there") }
                continue
            }
            guard access(folder, F_OK) == 0 else {
                result.append("I2 \(scan) was published, and is gone")
                continue
            }
            let items = try treeSnapshot(folder).items
            for path in tree.filePaths {
                guard let node = tree[path] else { continue }
                let item = items[path.rawValue]
                if item?.digest != Digest(of: node.content) || item?.modified != node.modified {
                    result.append("I2 \(scan) was published, but \(path) is \(item?.size ?? -1) bytes")
                }
            }
        }
        return result
    }

    /// I5 and I6: source and bystanders are what they were.
    func bystanderViolations() throws -> [String] {
        try treeSnapshot(source).without("lock", ".locks").differences(
            from: sourceBefore.without("lock", ".locks"), ignoringInodes: false
        ).map { "I6 source: \($0)" }
            + treeSnapshot(sentinel, includesDirectoryTimes: true).differences(
                from: sentinelBefore, ignoringInodes: false
            ).map { "I5 sentinel: \($0)" }
    }

    /// I1, I8 and I9: what a reader may find in the target at this instant.
    ///
    /// - Parameter mayDamageNewFiles: whether files that replaced nothing may hold anything
    ///   (after a power cut with `--fsync auto`).
    func violations(mayDamageNewFiles: Bool = false) throws -> [String] {
        var result: [String] = []
        let snapshot = try treeSnapshot(target)
        var byScan: [ScanID: [String: TreeSnapshot.Item]] = [:]
        let scans = Set(old.scans.keys).union(new.scans.keys)
        for (path, item) in snapshot.items {
            if [".", "romidb", "lock", ".locks", ".plantdb-sync"].contains(path) { continue }
            if path.hasPrefix(".plantdb-sync/") || path.hasPrefix(".locks/") { continue }
            // The longest name wins: a member's files are not its container's.
            let owner = scans.filter { path == $0.rawValue || path.hasPrefix($0.rawValue + "/") }
                .max { $0.rawValue.count < $1.rawValue.count }
            guard let owner else {
                result.append("I8 debris: \(path)")
                continue
            }
            byScan[owner, default: [:]][String(path.dropFirst(owner.rawValue.count + 1))] = item
        }
        for (scan, items) in byScan {
            result += try violations(
                of: items, before: old.scans[scan], after: new.scans[scan], mayDamage: mayDamageNewFiles,
                folder: target + "/" + scan.rawValue
            ).map { "\(scan): \($0)" }
        }
        return result
    }

    private func violations(
        of items: [String: TreeSnapshot.Item], before: SampleTree?, after: SampleTree?, mayDamage: Bool,
        folder: String
    ) throws -> [String] {
        var result: [String] = []
        func isVersion(_ path: String, _ tree: SampleTree?) -> Bool {
            guard let node = tree?[path], node.kind == .file, let item = items[path] else { return false }
            return item.kind == "file" && item.digest == Digest(of: node.content)
        }
        for (path, item) in items where item.kind != "directory" {
            let isNew = before?[path] == nil
            if mayDamage, isNew, after?[path] != nil, item.kind == "file" { continue }
            if !isVersion(path, before) && !isVersion(path, after) {
                result.append("I1 neither old nor new: \(path) (\(item.kind), \(item.size) bytes)")
            } else if path.hasSuffix(".json") {
                do { _ = try JSONValue(parsing: bytesOnDisk(folder + "/" + path)) } catch {
                    result.append("I9 invalid JSON: \(path)")
                }
            }
        }
        func missing(_ tree: SampleTree) -> [String] {
            tree.filePaths.map(\.rawValue).filter { items[$0] == nil }
        }
        func unequal(_ tree: SampleTree) -> [String] {
            tree.filePaths.map(\.rawValue).filter { path in
                if mayDamage, before?[path] == nil { return items[path] == nil }
                return !isVersion(path, tree)
            }
        }
        switch (before, after) {
        case (nil, let after?): result += unequal(after).map { "a new scan is not whole: \($0)" }
        case (let before?, nil): result += missing(before).map { "a scan to remove is not whole: \($0)" }
        case (let before?, let after?):
            if before == after {
                result += missing(before).map { "I1 lost: \($0)" }
            } else if isVersion("files.json", after) {
                result += unequal(after).map { "I9 the index is new, and not yet: \($0)" }
            } else {
                result += missing(before).map { "I9 the index is old, and already gone: \($0)" }
            }
        case (nil, nil): break
        }
        return result
    }

    /// I3: source and target hold the same.
    func contentDivergences() throws -> [String] {
        let theirs = try treeSnapshot(target)
        // The marker is each side's own.
        var result = theirs.without("lock", ".locks", ".plantdb-sync", "romidb").differences(
            from: try treeSnapshot(source).without("lock", ".locks", ".plantdb-sync", "romidb"))
        if theirs.items["romidb"]?.kind != "file" { result.append("I1 the marker is gone") }
        return result
    }

    /// What differs in the target from what it was in the beginning.
    func changesOfTarget() throws -> [String] {
        try treeSnapshot(target).differences(from: treeSnapshot(template)).map { "changed: \($0)" }
    }

    /// I6, I8: what a run that has ended by itself may not leave.
    func debris() throws -> [String] {
        var result: [String] = []
        for (side, root) in [("source", source), ("target", target)] {
            for path in try treeSnapshot(root, hashesContent: false).items.keys.sorted()
            where path == "lock" || path.hasPrefix(".locks/") || path.hasPrefix(".plantdb-sync") {
                result.append("I6, I8 left behind in the \(side): \(path)")
            }
        }
        return result
    }

    /// Source and target hold the same, and neither holds anything of ours.
    func divergences() throws -> [String] { try contentDivergences() + debris() }

    /// I4: the same command heals, and then there is nothing left to do.
    func healingViolations(_ arguments: [String]) async throws -> [String] {
        var result: [String] = []
        let second = try await Command.run(arguments)
        if second.code != 0 { result.append("I4, I10 the rerun ended with \(second)") }
        result += try divergences()
        let before = try treeSnapshot(target)
        let third = try await Command.run(arguments)
        if third.code != 0 || third.total("bytesMoved") != 0 || third.total("filesMoved") != 0 {
            result.append("I4 the third run: \(third)")
        }
        result += try treeSnapshot(target).differences(from: before, ignoringInodes: false)
            .map { "I4 the third run changed \($0)" }
        return result + (try bystanderViolations())
    }
}

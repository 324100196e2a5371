import Foundation
import Glibc
import PlantDBCore
import PlantDBTesting

/// Two databases with work of every kind between them, one or both behind an sshd of their own:
/// files to replace, to add and to delete, scans to add and to remove, a timelapse.
struct SSHScene: Sendable {
    enum Way: Sendable, CaseIterable { case down, up, across }

    let server: SSHServer
    let relay: FaultyRelay
    let way: Way
    let folder: TemporaryDirectory
    let source: String
    let target: String
    private let sentinel: String
    private let template: String
    private let old: SampleDatabase
    private let new: SampleDatabase
    private let sourceBefore: TreeSnapshot
    private let sentinelBefore: TreeSnapshot
    /// On the command line of this scene's servers, and of nobody else's.
    private let mark: String

    static let sftpServer = [
        "/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server",
    ].first { (path: String) in access(path, X_OK) == 0 }

    /// - Parameter target: instead of a folder beside the source.
    /// - Parameter smallFiles: of a further scan; enough of them go by tar.
    init(_ way: Way, target elsewhere: String? = nil, largeFile: Int = 3 << 20, smallFiles: Int = 0) throws {
        self.way = way
        folder = try TemporaryDirectory()
        source = folder.appending("source")
        target = elsewhere ?? folder.appending("target")
        sentinel = folder.appending("sentinel")
        template = folder.appending("template")
        let mark = folder.path
        self.mark = mark
        // As a process of its own that can be killed; it begins in a folder that says whose it is.
        server = try SSHServer(sftp: Self.sftpServer.map { "\($0) -d \(mark)" } ?? "internal-sftp")
        relay = try FaultyRelay(to: server.port)
        (old, new) = try Self.databases(largeFile, smallFiles)
        try new.write(to: source)
        try old.write(to: template)
        try SampleDatabase.plants(1).write(to: sentinel)
        sourceBefore = try treeSnapshot(source)
        sentinelBefore = try treeSnapshot(sentinel, includesDirectoryTimes: true)
    }

    private static func databases(_ largeFile: Int, _ smallFiles: Int) throws -> (
        SampleDatabase, SampleDatabase
    ) {
        let newer = ModificationTime(seconds: SampleTree.time.seconds + 1000, nanoseconds: 5)
        var generator = SplitMix64(seed: 5)
        var (old, new) = (SampleDatabase(), SampleDatabase())
        var tree = try SampleTree.plant(images: 6)
        try tree.file("old_fileset/left.txt", "left over")
        try tree.writeIndex()
        try old.add("plant_0", tree)
        for index in 0..<3 {
            try tree.file("images/0000\(index)_rgb.jpg", generator.bytes(70_000), modified: newer)
        }
        try tree.file("metadata/metadata.json", "{\n    \"object\": {}\n}", modified: newer)
        for path in ["images/00005_rgb.jpg", "metadata/images/00005_rgb.json", "old_fileset"] {
            try tree.remove(path)
        }
        try tree.file("images/00009_rgb.jpg", generator.bytes(9_000), modified: newer)
        try tree.file("metadata/images/00009_rgb.json", "{}", modified: newer)
        try tree.file("Mesh_1/mesh.ply", generator.bytes(300_000), modified: newer)
        try tree.writeIndex(modified: newer)
        try new.add("plant_0", tree)

        try old.add("gone", .plant(images: 2, seed: 9))
        let same = try SampleTree.plant(images: 2, seed: 3)
        try old.add("same", same)
        try new.add("same", same)
        var many = try SampleTree.plant(images: 20, seed: 11)
        try many.file("images/empty", "")
        try many.writeIndex()
        try new.add("plant_1", many)
        var large = try SampleTree.plant(images: 2, seed: 12)
        try large.file("images/large.bin", generator.bytes(largeFile))
        try large.writeIndex()
        try new.add("plant_2", large)
        if smallFiles > 0 { try new.add("small", .plant(images: smallFiles, seed: 13)) }
        var container = SampleTree()
        try container.file("timelapse.json", "{}")
        try new.add("series", container)
        try new.add("series/day_1", .minimal("one"))
        return (old, new)
    }

    /// Puts the target back to where it was in the beginning.
    func reset() async throws {
        relay.set(.none)
        try removeTree(target)
        try await CommandRun.system("cp", "-a", template, target)
    }

    func end() throws {
        relay.close()
        server.stop()
        try folder.remove()
    }

    /// - Parameter isRelayed: whether it goes by the relay.
    func location(_ path: String, isRelayed: Bool = true) -> String {
        "ssh://127.0.0.1:\(isRelayed ? relay.port : server.port)\(path)"
    }

    /// What makes ssh find its way to this server.
    var login: [String] { Self.login(server) + ["--identity", server.identity] }

    static func login(_ server: SSHServer) -> [String] {
        // The relay has a port of its own, and the server's key.
        (server.sshOptions + ["HostKeyAlias=[127.0.0.1]:\(server.port)"]).flatMap { ["--ssh-option", $0] }
    }

    /// `sync` with everything it deletes allowed.
    func arguments(_ more: String...) -> [String] {
        ["sync", way == .up ? source : location(source), way == .down ? target : location(target), "--json"]
            + ["--delete", "--delete-unknown", "--max-delete", "100%"] + login + more
    }

    // MARK: Whom to kill

    /// The servers of this scene that live.
    var sftpServers: [pid_t] {
        Processes.all.filter { process in
            Processes.program(of: process).hasSuffix("sftp-server")
                && Processes.text(process, "cmdline").contains(mark)
        }
    }

    /// What else works for this scene on the other machine: shells, and tar, in its databases.
    private var packers: [pid_t] {
        Processes.all.filter { process in
            var buffer = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/\(process)/cwd", &buffer, buffer.count)
            let place = String(
                decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
            return place.hasPrefix(target + "/") || place.hasPrefix(source + "/")
        }
    }

    /// After a kill, what was sent may still be on its way to the disk.
    func waitForServers() async throws {
        for _ in 0..<1000 {
            if sftpServers.isEmpty, packers.isEmpty { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw CommandRun.Failure(message: "servers without a client live on: \(sftpServers + packers)")
    }

    // MARK: Checks

    /// I5 and I6: source and bystanders are what they were.
    ///
    /// - Parameter mayHoldLock: a connection that was killed while it locked the source may have left
    ///   what the next run takes away: the lock, or the file that was to become it.
    func bystanderViolations(mayHoldLock: Bool = false) throws -> [String] {
        try treeSnapshot(source).without("lock", mayHoldLock ? ".plantdb-sync" : "lock").differences(
            from: sourceBefore.without("lock"), ignoringInodes: false
        ).map { "I6 source: \($0)" }
            + treeSnapshot(sentinel, includesDirectoryTimes: true).differences(
                from: sentinelBefore, ignoringInodes: false
            ).map { "I5 sentinel: \($0)" }
            + FileManager.default.contentsOfDirectory(atPath: folder.path)
            .filter { !["source", "target", "sentinel", "template"].contains($0) }
            .map { "I5 beside the databases: \($0)" }
    }

    /// I1, I8 and I9: what a reader may find in the target at this instant.
    func violations() throws -> [String] {
        var result: [String] = []
        var byScan: [ScanID: [String: TreeSnapshot.Item]] = [:]
        let scans = Set(old.scans.keys).union(new.scans.keys)
        for (path, item) in try treeSnapshot(target).items {
            if [".", "romidb", "lock", ".plantdb-sync"].contains(path) { continue }
            if path.hasPrefix(".plantdb-sync/") { continue }
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
            result += Self.violations(items, before: old.scans[scan], after: new.scans[scan])
                .map { "\(scan): \($0)" }
        }
        return result
    }

    private static func violations(
        _ items: [String: TreeSnapshot.Item], before: SampleTree?, after: SampleTree?
    ) -> [String] {
        func holds(_ path: String, _ tree: SampleTree?) -> Bool {
            guard let node = tree?[path], node.kind == .file, let item = items[path] else { return false }
            return item.kind == "file" && item.digest == Digest(of: node.content)
        }
        func missing(_ tree: SampleTree) -> [String] {
            tree.filePaths.map(\.rawValue).filter { items[$0] == nil }
        }
        func unequal(_ tree: SampleTree) -> [String] {
            tree.filePaths.map(\.rawValue).filter { !holds($0, tree) }
        }
        let torn = items.filter { path, item in
            item.kind != "directory" && !holds(path, before) && !holds(path, after)
        }.map { "I1 neither old nor new: \($0.key) (\($0.value.kind), \($0.value.size) bytes)" }
        let order: [String]
        switch (before, after) {
        case (nil, let after?): order = unequal(after).map { "a new scan is not whole: \($0)" }
        case (let before?, nil): order = missing(before).map { "a scan to remove is not whole: \($0)" }
        case (let before?, let after?) where holds("files.json", after) && before != after:
            order = unequal(after).map { "I9 the index is new, and not yet: \($0)" }
        case (let before?, _): order = missing(before).map { "I9 the index is old, and already gone: \($0)" }
        case (nil, nil): order = []
        }
        return torn + order
    }

    /// I6, I8: what a run that has ended by itself may not leave.
    func debris() throws -> [String] {
        try [source, target].flatMap { root in
            try treeSnapshot(root, hashesContent: false).items.keys.sorted()
                .filter { $0 == "lock" || $0.hasPrefix(".plantdb-sync") }
                .map { "I6, I8 left behind: \(root)/\($0)" }
        }
    }

    /// I3: both hold the same, times in the seconds that SFTP keeps.
    func divergences() throws -> [String] { try Self.divergences(source, target) + debris() }

    static func divergences(_ source: String, _ target: String) throws -> [String] {
        func content(_ path: String) throws -> [String: [String]] {
            try treeSnapshot(path).without("lock", ".plantdb-sync", "romidb").items.mapValues { item in
                item.kind == "file"
                    ? [
                        item.kind, String(item.mode), String(item.modified?.seconds ?? 0),
                        item.digest.map { "\($0)" } ?? "",
                    ] : [item.kind]
            }
        }
        let (one, two) = (try content(source), try content(target))
        return Set(one.keys).union(two.keys).sorted().filter { one[$0] != two[$0] }
            .map { "I3 \($0): \(one[$0] ?? []) is \(two[$0] ?? [])" }
    }

    /// I4, I10: the same command heals, and the one after it has nothing to do.
    func healingViolations(_ arguments: [String]) async throws -> [String] {
        var result: [String] = []
        let second = try await CommandRun.run(arguments)
        if second.code != 0 { result.append("I4, I10 the rerun: \(second)") }
        result += try divergences()
        let before = try treeSnapshot(target)
        let third = try await CommandRun.run(arguments)
        if third.code != 0 || third.total("bytesMoved") != 0 || third.total("filesMoved") != 0 {
            result.append("I4 the third run: \(third)")
        }
        result += try treeSnapshot(target).differences(from: before, ignoringInodes: false)
            .map { "I4 the third run changed \($0)" }
        return result + (try bystanderViolations())
    }
}

/// One that is written by the caller, which may be asked for again: the first of `problems`, cut to
/// what can be read.
func summary(_ problems: [String]) -> String {
    "\(problems.count) problems" + problems.prefix(6).map { "\n  " + String($0.prefix(500)) }.joined()
}

/// Works through `items` in two lanes, each with a place of its own.
///
/// - Returns: what `body` returned, in no order.
func inTwoLanes<Item: Sendable, Place: Sendable, Result: Sendable>(
    _ items: [Item], _ makePlace: @escaping @Sendable () throws -> Place,
    _ body: @escaping @Sendable (Place, Item) async throws -> Result
) async throws -> [Result] {
    let lanes = 2
    return try await withThrowingTaskGroup(of: [Result].self) { group in
        for lane in 0..<min(lanes, items.count) {
            group.addTask {
                let place = try makePlace()
                var results: [Result] = []
                for index in stride(from: lane, to: items.count, by: lanes) {
                    results.append(try await body(place, items[index]))
                }
                return results
            }
        }
        return try await group.reduce(into: []) { $0 += $1 }
    }
}

import CPlatform
import Glibc
import NIOCore
import PlantDBCore
import Synchronization

/// A database in a directory of this machine, as a side of a synchronisation.
public final class FSDBEndpoint: DatabaseEndpoint, LockInspecting, AccountListing {
    public let location: DatabaseLocation
    public let capabilities: EndpointCapabilities
    let path: String
    private let state: Mutex<State>
    private let publishing = PublishingLock()

    private struct State {
        /// nil while the database does not exist yet (a target before its first lock).
        var root: Directory?
        var staging: StagingArea?
        var digests: DigestCache?
    }

    /// `$XDG_CACHE_HOME/plantdb/digests.sqlite`, in `~/.cache` if that is not set (XDG Base
    /// Directory Specification); nil without a home.
    public static var defaultDigestCacheFile: String? { DigestCache.defaultFile }

    public enum Opening: Sendable {
        /// The database must be there.
        case existing
        /// Where there is nothing, or an empty directory, a database will be made as soon as
        /// it is locked for writing; until then it reads as one without scans.
        case creating
    }

    /// - Parameter digestCacheFile: where digests are kept between runs; nil: nowhere.
    /// - Throws: `notFound`; `notADatabase` for a directory without the marker.
    public static func open(
        path: String, _ opening: Opening, digestCacheFile: String? = FSDBEndpoint.defaultDigestCacheFile
    ) async throws(DatabaseError) -> FSDBEndpoint {
        try await BlockingThreads.run(while: "opening \(path)") { () throws(DatabaseError) in
            try FSDBEndpoint(path: path, opening, digestCacheFile: digestCacheFile)
        }
    }

    private init(path: String, _ opening: Opening, digestCacheFile: String?) throws(DatabaseError) {
        self.path = path
        var root: Directory?
        do throws(DatabaseError) { root = try Directory.open(path: path) } catch {
            guard error.code == .notFound else { throw error }
            guard opening == .creating else {
                throw DatabaseError(
                    .notFound,
                    "there is no database at \(path.printable): the directory does not exist; check the path and "
                        + "whether its disk is mounted (only where it is to be new: plantdb init)")
            }
            // Its parent must be there: a mistyped path makes no tree of directories.
            let parent = Self.parent(of: path)
            do throws(DatabaseError) { _ = try Directory.open(path: parent) } catch {
                throw DatabaseError(
                    .notFound,
                    "cannot make a database at \(path.printable): \(parent.printable) does not exist; "
                        + "make it first, or check the path", cause: error.cause)
            }
        }
        if let opened = root, try !Self.isDatabase(opened) {
            guard opening == .creating, try opened.entries().isEmpty else {
                throw Self.notADatabase(path, try opened.status(of: DatabaseLayout.marker))
            }
            try UnmountedDisk.refuse(opened, path: path)
            root = nil
        }
        // Where it is, or where it will be made.
        let exists = access(path, F_OK) == 0
        let anchor = try Directory.open(path: exists ? path : Self.parent(of: path))
        if root == nil { try Self.refuseInside(path) }
        location = DatabaseLocation(
            description: path, identity: exists ? try anchor.status().identity : nil,
            enclosing: try Self.enclosing(anchor, includingItself: !exists),
            lasting: Self.realPath(of: path, exists: exists))
        capabilities = EndpointCapabilities(
            timePrecisionNanoseconds: FileSystemKind(of: anchor.descriptor).timePrecisionNanoseconds,
            concurrentScans: 2...8, isNew: root == nil)
        state = Mutex(
            State(root: root, staging: nil, digests: digestCacheFile.map { DigestCache(file: $0) }))
    }

    /// - Throws: ``DatabaseError/Code/invalidArgument`` if the database would be made within another.
    private static func refuseInside(_ path: String) throws(DatabaseError) {
        guard let resolved = realpath(parent(of: path), nil) else { return }
        defer { free(resolved) }
        var around = String(cString: resolved)
        while true {
            if access(around + "/" + DatabaseLayout.marker, F_OK) == 0 {
                throw DatabaseError(
                    .invalidArgument,
                    "a database at \(path.printable) would lie in the database \(around.printable), which "
                        + "PlantDB 0.16 and later would then refuse to open; nothing was changed. Choose a place "
                        + "outside of it")
            }
            let next = parent(of: around)
            if next == around { return }
            around = next
        }
    }

    /// Also where it will be made.
    private static func realPath(of path: String, exists: Bool) -> String? {
        guard let resolved = realpath(exists ? path : parent(of: path), nil) else { return nil }
        defer { free(resolved) }
        let name = path.split(separator: "/").last.map { "/" + $0 } ?? ""
        return String(cString: resolved) + (exists ? "" : name)
    }

    private static func isDatabase(_ directory: Directory) throws(DatabaseError) -> Bool {
        try directory.status(of: DatabaseLayout.marker)?.kind == .file
    }

    private static func notADatabase(_ path: String, _ status: FileStatus?) -> DatabaseError {
        let reason =
            status == nil
            ? "it has no marker file “\(DatabaseLayout.marker)”"
            : "its marker “\(DatabaseLayout.marker)” is not a regular file"
        let around = parent(of: path)
        if access(around + "/" + DatabaseLayout.marker, F_OK) == 0 {
            return DatabaseError(
                .notADatabase,
                "\(path.printable) is not a PlantDB database, but lies in one: give \(around.printable), and the "
                    + "scan by its name behind both databases")
        }
        return DatabaseError(
            .notADatabase,
            "\(path.printable) is not a PlantDB database: \(reason); check the path and whether the disk is "
                + "mounted (plantdb init makes an empty database in an empty or new directory)")
    }

    static func parent(of path: String) -> String {
        var trimmed = Substring(path)
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }

    /// The identities of all directories around `directory`, by walking `..` up to the root.
    private static func enclosing(_ directory: Directory, includingItself: Bool) throws(DatabaseError)
        -> Set<String>
    {
        var result: Set<String> = []
        do throws(SystemError) {
            let own = try FileStatus.of(directory.descriptor)
            if includingItself { result.insert(own.identity) }
            try addDirectories(above: directory.descriptor, own, to: &result)
        } catch { throw directory.failure(error, "look around", "..") }
        return result
    }

    private static func addDirectories(above directory: CInt, _ own: FileStatus, to result: inout Set<String>)
        throws(SystemError)
    {
        let parent = plantdb_openat(directory, "..", plantdb_o_path | O_DIRECTORY, 0)
        guard parent >= 0 else { throw SystemError() }
        defer { Glibc.close(parent) }
        let above = try FileStatus.of(parent)
        // The root is its own parent.
        guard !above.isSameFile(as: own) else { return }
        result.insert(above.identity)
        try addDirectories(above: parent, above, to: &result)
    }

    /// The root, of a database that exists.
    func root() throws(DatabaseError) -> Directory {
        guard let root = state.withLock({ $0.root }) else {
            throw DatabaseError(.notFound, "there is no database at \(path.printable) yet")
        }
        return root
    }

    /// Makes the database of a target that does not exist yet.
    private func createIfNeeded() throws(DatabaseError) {
        if state.withLock({ $0.root }) != nil { return }
        let made = mkdir(path, 0o777) == 0
        if !made, errno != EEXIST { throw SystemError().error("make the directory \(path)") }
        let root = try Directory.open(path: path)
        try root.makeFile(DatabaseLayout.marker)
        state.withLock { $0.root = root }
    }

    // MARK: Source

    public func listing() async throws(DatabaseError) -> DatabaseListing {
        guard let root = state.withLock({ $0.root }) else { return DatabaseListing(scans: []) }
        return try await BlockingThreads.run(while: "listing \(path)") { () throws(DatabaseError) in
            guard try Self.isDatabase(root) else { throw Self.notADatabase(self.path, nil) }
            return try DatabaseListing.of(root)
        }
    }

    public func manifest(of scan: ScanID, detail: ManifestDetail) async throws(DatabaseError) -> ScanManifest?
    {
        guard let root = state.withLock({ $0.root }) else { return nil }
        let manifest = try await BlockingThreads.run(while: "listing scan \(scan)") {
            () throws(DatabaseError) in try Self.manifest(of: scan, in: root)
        }
        guard let manifest, detail == .digests else { return manifest }
        let cache = state.withLock { $0.digests }
        return try await DigestReading(root: root, cache: cache).adding(to: manifest)
    }

    /// nil where there is no directory of that name.
    static func manifest(of scan: ScanID, in root: Directory) throws(DatabaseError) -> ScanManifest? {
        guard let directory = try root.directoryIfPresent(scan.rawValue) else { return nil }
        var isContainer = false
        if scan.container == nil {
            isContainer = try directory.status(of: ScanPath.timelapseMarker.rawValue)?.kind == .file
        }
        return try ManifestWalk.manifest(of: scan, in: directory, descends: !isContainer)
    }

    public func parts(of selection: EntrySelection) async throws(DatabaseError) -> ScanPartStream {
        let root = try root()
        let files = try await BlockingThreads.run(while: "opening scan \(selection.scan)") {
            () throws(DatabaseError) in try LocalScanDirectory(scan: selection.scan, root: root)
        }
        let reader = LocalPartReader(files: files, selection: selection)
        return ScanPartStream { () async throws(DatabaseError) in try await reader.next() }
    }

    public var fileSource: (any LocalFileSource)? { self }

    // MARK: Target

    public func finds(_ paths: [ScanPath], in scan: ScanID) async throws(DatabaseError) -> [Bool] {
        guard let root = state.withLock({ $0.root }) else { return paths.map { _ in false } }
        return try await BlockingThreads.run(while: "looking into scan \(scan)") {
            () throws(DatabaseError) in
            guard let directory = try root.directoryIfPresent(scan.rawValue) else {
                return paths.map { _ in false }
            }
            var found: [Bool] = []
            for path in paths { found.append(try directory.status(of: path.rawValue) != nil) }
            return found
        }
    }

    public func beginTransaction(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions
    ) async throws(DatabaseError) -> any ScanTransaction {
        let area = try await stagingArea()
        let root = try root()
        let locks = locks(of: scan, options)
        try await locks.takeWhole()
        return try await LocalTransaction.begin(
            on: scan, replacing: base, options: options, root: root, area: area, locks: locks)
    }

    public func removeScan(_ scan: ScanID, replacing base: ScanRevision, options: TransactionOptions)
        async throws(DatabaseError)
    {
        let area = try await stagingArea()
        let root = try root()
        let locks = locks(of: scan, options)
        let outcome: Result<Void, DatabaseError>
        do throws(DatabaseError) {
            try await locks.take()
            try await BlockingThreads.run(while: "removing scan \(scan)") { () throws(DatabaseError) in
                try ScanRemoval(scan: scan, root: root, area: area).run(replacing: base, options: options)
            }
            outcome = .success(())
        } catch { outcome = .failure(error) }
        await locks.release()
        try outcome.get()
    }

    private func locks(of scan: ScanID, _ options: TransactionOptions) -> TransactionLocks {
        TransactionLocks(
            options, publishing,
            acquireDatabase: { (wait) async throws(DatabaseError) in
                try await self.acquireLock(.database, mode: .exclusive, wait: wait)
            },
            acquireScan: { () async throws(DatabaseError) in
                try await self.acquireScanLock(scan, mode: .exclusive, wait: options.lockWait)
            })
    }

    public func accountNames() async throws(DatabaseError) -> AccountNames? {
        guard let root = state.withLock({ $0.root }) else { return nil }
        return try await BlockingThreads.run(while: "reading the accounts of \(path)") {
            () throws(DatabaseError) in
            func file(_ name: String) throws(DatabaseError) -> [UInt8]? {
                try root.status(of: name) == nil ? nil : try root.read(name)
            }
            guard let users = try file(DatabaseLayout.accounts), !users.isEmpty else { return nil }
            return try AccountNames(usersFile: users, groupsFile: try file(DatabaseLayout.groups))
        }
    }

    public func currentTime() async throws(DatabaseError) -> ModificationTime? { WallClock.now }

    public func availableBytes() async throws(DatabaseError) -> Int64? {
        let existing = state.withLock { $0.root }
        return try await BlockingThreads.run(while: "asking for free space") { () throws(DatabaseError) in
            let directory: Directory
            if let existing {
                directory = existing
            } else {
                directory = try Directory.open(path: Self.parent(of: self.path))
            }
            if FileSystemKind(of: directory.descriptor).sharesExtents { return nil }
            var info = statvfs()
            guard fstatvfs(directory.descriptor, &info) == 0 else {
                throw directory.failure(SystemError(), "ask for the free space of", ".")
            }
            return Int64(clamping: UInt64(info.f_bavail) * UInt64(info.f_frsize))
        }
    }

    /// Made at the first write.
    private func stagingArea() async throws(DatabaseError) -> StagingArea {
        try await BlockingThreads.run(while: "preparing \(path)") { () throws(DatabaseError) in
            try self.createIfNeeded()
            let root = try self.root()
            // Made under the lock: two transactions that begin at once share one area.
            return try self.state.withLock { state throws(DatabaseError) in
                if let area = state.staging, area.isInPlace { return area }
                let made = try StagingArea(root: root)
                state.staging = made
                return made
            }
        }
    }

    // MARK: Locks

    public func acquireLock(_ scope: LockScope, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> any DatabaseLock
    {
        switch scope {
        case .database:
            if mode == .exclusive {
                try await BlockingThreads.run(while: "making \(path)") { () throws(DatabaseError) in
                    try self.createIfNeeded()
                }
            }
            let root = try root()
            let lock = try await BlockingThreads.waitForLock(
                on: "the database \(location)", scan: nil, wait: wait
            ) { () throws(DatabaseError) in try DatabaseLockFile.attempt(in: root, mode: mode) }
            await BlockingThreads.runToTheEnd {
                ScanLockFile.reclaim(in: root)
                if mode == .exclusive { StagingArea.reclaim(root: root) }
            }
            return LocalLock { lock.release() }
        case .run: return try await acquireRunLock(mode, wait: wait)
        case .scan(let scan):
            let lock = try await acquireScanLock(scan, mode: mode, wait: wait)
            return LocalLock { lock.release() }
        }
    }

    private func acquireRunLock(_ mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> any DatabaseLock
    {
        guard mode == .exclusive else {
            // A source that is not there yet has nobody in it.
            guard let root = state.withLock({ $0.root }) else { return NoLock() }
            return try await BlockingThreads.waitForLock(
                on: "the database \(location)", scan: nil, wait: wait
            ) { () throws(DatabaseError) in
                try RunLock.holder(of: root, isReader: true).map { .held(by: $0) } ?? .acquired(NoLock())
            }
        }
        try await BlockingThreads.run(while: "making \(path)") { () throws(DatabaseError) in
            try self.createIfNeeded()
        }
        let root = try root()
        let lock = try await BlockingThreads.waitForLock(
            on: "the database \(location)", scan: nil, wait: wait
        ) { () throws(DatabaseError) in try RunLock.attempt(in: root) }
        await BlockingThreads.runToTheEnd {
            ScanLockFile.reclaim(in: root)
            StagingArea.reclaim(root: root)
        }
        return LocalLock { RunLock.release(lock, of: root) }
    }

    private func acquireScanLock(_ scan: ScanID, mode: LockMode, wait: Duration) async throws(DatabaseError)
        -> ScanLockFile
    {
        let root = try root()
        return try await BlockingThreads.waitForLock(
            on: "scan \(scan) of \(location)", scan: scan, wait: wait
        ) { () throws(DatabaseError) in try ScanLockFile.attempt(on: scan, in: root, mode: mode) }
    }

    public func heldLocks() async throws(DatabaseError) -> [HeldLock] {
        // Where there is no database yet nobody holds one.
        guard let root = state.withLock({ $0.root }) else { return [] }
        return try await BlockingThreads.run(while: "listing locks") { () throws(DatabaseError) in
            try LockInspection.heldLocks(in: root)
        }
    }

    public func breakLock(_ lock: HeldLock, force: Bool) async throws(DatabaseError) {
        let root = try root()
        try await BlockingThreads.run(while: "breaking a lock") { () throws(DatabaseError) in
            try LockInspection.breakLock(lock, force: force, in: root)
        }
    }

    public func close() async {
        let staging = state.withLock { state in
            defer { state.staging = nil }
            return state.staging
        }
        await publishing.release()
        await BlockingThreads.runToTheEnd { staging?.close() }
    }
}

extension FSDBEndpoint: LocalFileSource {
    public func openFiles(of scan: ScanID) async throws(DatabaseError) -> any LocalScanFiles {
        let root = try root()
        return try await BlockingThreads.run(while: "opening scan \(scan)") { () throws(DatabaseError) in
            try LocalScanDirectory(scan: scan, root: root)
        }
    }
}

/// A lock that releases once, off the cooperative threads.
private final class LocalLock: DatabaseLock {
    private let releasing: Mutex<(@Sendable () -> Void)?>

    init(_ release: @escaping @Sendable () -> Void) { releasing = Mutex(release) }

    func release() async {
        let once = releasing.withLock { stored in
            defer { stored = nil }
            return stored
        }
        if let once { await BlockingThreads.runToTheEnd(once) }
    }
}

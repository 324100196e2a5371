import FSDB
import Glibc
import PlantDBCore
import PlantDBTesting
import Testing

/// What the contract cannot know: how a database lies on this machine's disk.
@Suite struct LocalEndpointTests {
    private let folder: TemporaryDirectory
    private var root: String { folder.appending("database") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(1).write(to: root)
    }

    private func open(_ opening: FSDBEndpoint.Opening = .existing) async throws -> FSDBEndpoint {
        try await FSDBEndpoint.open(path: root, opening, digestCacheFile: folder.appending("digests"))
    }

    @Test(
        "The trash keeps what a run replaced and removed, as it was before the run, and an other scan whole")
    func trash() async throws {
        let endpoint = try await open()
        let scan = try ScanID("plant_0")
        let before = try treeSnapshot(root + "/plant_0")
        let options = TransactionOptions(trash: "run-1", locking: .publication)
        for text in ["first", "second time"] {
            let base = try #require(try await endpoint.manifest(of: scan, detail: .listing)).revision
            let transaction = try await endpoint.beginTransaction(on: scan, replacing: base, options: options)
            var tree = SampleTree()
            try tree.file("images/00000_rgb.jpg", text)
            _ = try await transaction.receive(tree.parts(), meter: ByteMeter())
            if text == "first" { try await transaction.remove([try ScanPath("images/00001_rgb.jpg")]) }
            try await transaction.commit()
        }
        let kept = root + "/.plantdb-sync/trash/run-1"
        let files = try treeSnapshot(kept + "/.files/plant_0").items
        for name in ["images/00000_rgb.jpg", "images/00001_rgb.jpg"] {
            #expect(
                files[name]?.digest != nil && files[name]?.digest == before.items[name]?.digest, "\(name)")
        }
        #expect(access(root + "/plant_0/images/00001_rgb.jpg", F_OK) != 0)
        let last = try treeSnapshot(root + "/plant_0")
        let base = try #require(try await endpoint.manifest(of: scan, detail: .listing)).revision
        let transaction = try await endpoint.beginTransaction(
            on: scan, replacing: nil,
            options: TransactionOptions(trash: "run-2", displaced: base, locking: .publication))
        _ = try await transaction.receive(SampleTree.minimal().parts(), meter: ByteMeter())
        try await transaction.commit()
        let displaced = try treeSnapshot(root + "/.plantdb-sync/trash/run-2/plant_0")
        #expect(displaced.differences(from: last) == [])
        await endpoint.close()
        try folder.remove()
    }

    @Test("Connections that come and go at once never lose their staging directory to one another")
    func stagingAreasAreNotTaken() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    for round in 0..<25 {
                        let endpoint = try await open()
                        let transaction = try await endpoint.beginTransaction(
                            on: try ScanID("new_\(worker)_\(round)"), replacing: nil,
                            options: TransactionOptions())
                        _ = try await transaction.receive(SampleTree.minimal().parts(), meter: ByteMeter())
                        try await transaction.commit()
                        await endpoint.close()
                    }
                }
            }
            try await group.waitForAll()
        }
        let endpoint = try await open()
        #expect(try await endpoint.listing().scans.count == 201)
        #expect(access(root + "/.plantdb-sync", F_OK) != 0, "staging is left")
        try folder.remove()
    }

    @Test("A digest is not remembered for a file whose bytes changed under the same size and time")
    func rewrittenFileIsReadAgain() async throws {
        let endpoint = try await open()
        let scan = try ScanID("plant_0")
        let path = try ScanPath("images/00000_rgb.jpg")
        let file = root + "/plant_0/" + path.rawValue
        let first = try await endpoint.manifest(of: scan, detail: .digests)?.entry(at: path)
        #expect(try await endpoint.manifest(of: scan, detail: .digests)?.entry(at: path) == first)
        let content = try bytesOnDisk(file)
        #expect(first?.digest == Digest(of: content))

        let other = content.dropLast() + [content[content.count - 1] ^ 1]
        try writeFile(file, Array(other))
        try setModificationTime(file, try #require(first?.modified))
        let second = try await endpoint.manifest(of: scan, detail: .digests)?.entry(at: path)
        #expect(second?.modified == first?.modified && second?.size == first?.size)
        #expect(second?.digest == Digest(of: Array(other)))
        try folder.remove()
    }

    @Test("A file that is written while it is read is found out, though its size and time are put back")
    func rewrittenWhileRead() async throws {
        let endpoint = try await open()
        let scan = try ScanID("plant_0")
        let manifest = try #require(try await endpoint.manifest(of: scan, detail: .listing))
        let entry = try #require(manifest.entry(at: try ScanPath("images/00000_rgb.jpg")))
        let file = root + "/plant_0/images/00000_rgb.jpg"
        let rewrite = {
            try writeFile(file, [UInt8](repeating: 1, count: Int(entry.size)))
            try setModificationTime(file, try #require(entry.modified))
        }
        let files = try await #require(endpoint.fileSource).openFiles(of: scan)
        for isRewritten in [false, true] {
            let descriptor = try files.open(entry)
            defer { close(descriptor) }
            if isRewritten { try rewrite() }
            do throws(DatabaseError) {
                try files.confirm(entry, descriptor: descriptor)
                #expect(!isRewritten, "nobody noticed")
            } catch { #expect(isRewritten && error.code == .sourceChanged, "\(error)") }
        }
        let position = try #require(manifest.position(of: entry.path))
        let parts = try await endpoint.parts(
            of: EntrySelection(manifest: manifest, positions: [Int32(position)]))
        await #expect(throws: DatabaseError(.sourceChanged, "")) {
            for try await part in parts { if case .bytes = part { try rewrite() } }
        }
        await endpoint.close()
        try folder.remove()
    }

    @Test("Thumbnails go with the data that they show, and stay where data is only added")
    func thumbnails() async throws {
        let endpoint = try await open()
        let scan = try ScanID("plant_0")
        let cache = root + "/plant_0/webcache"
        let later = ModificationTime(seconds: SampleTree.time.seconds + 60)
        func update(_ path: String?, removing removed: [String] = []) async throws -> Bool {
            try #require(mkdir(cache, 0o755) == 0 || errno == EEXIST)
            try writeFile(cache + "/0123abcd.jpeg", [1])
            let base = try #require(try await endpoint.manifest(of: scan, detail: .listing)).revision
            let transaction = try await endpoint.beginTransaction(
                on: scan, replacing: base, options: TransactionOptions())
            var change = SampleTree()
            if let path { try change.file(path, "newer", modified: later) }
            _ = try await transaction.receive(change.parts(), meter: ByteMeter())
            try await transaction.remove(removed.map { try ScanPath($0) })
            try await transaction.commit()
            return access(cache, F_OK) == 0
        }
        #expect(try await update("images/added.jpg"), "added")
        #expect(try await update("metadata/images/00000_rgb.json"), "metadata")
        #expect(try await !update("images/00000_rgb.jpg"), "replaced")
        #expect(try await !update(nil, removing: ["images/00001_rgb.jpg"]), "removed")
        await endpoint.close()
        try folder.remove()
    }

    @Test("Scan locks of 0.15 and later are taken where a database has them, and leave nothing behind")
    func upstreamLockFiles() async throws {
        try #require(mkdir(root + "/.locks", 0o755) == 0)
        let scan = try ScanID("plant_0")
        let endpoint = try await open()
        let lock = try await endpoint.acquireLock(.scan(scan), mode: .exclusive, wait: .zero)
        let file = Glibc.open(root + "/.locks/plant_0.lock", O_RDWR)
        defer { close(file) }
        #expect(flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        let shown = try await endpoint.heldLocks()
        #expect(shown.map(\.path) == [".locks/plant_0.lock"])
        #expect(shown.first?.owner.contains(String(getpid())) == true)
        await lock.release()
        #expect(try await endpoint.heldLocks() == [])
        #expect(access(root + "/.locks/plant_0.lock", F_OK) != 0)
        #expect(access(root + "/.locks/plant_0.info", F_OK) != 0)

        // As upstream holds it.
        let other = Glibc.open(root + "/.locks/plant_0.lock", O_RDWR | O_CREAT, 0o644)
        defer { close(other) }
        try #require(flock(other, LOCK_EX | LOCK_NB) == 0)
        await #expect(throws: DatabaseError(.locked, "")) {
            try await endpoint.acquireLock(.scan(scan), mode: .shared, wait: .zero)
        }
        try folder.remove()
    }

    /// A child that is being started has every descriptor of ours until it runs its program.
    @Test("A lock that was released is free, even while a child still has its descriptor")
    func releasedWhileAChildStarts() async throws {
        let path = try #require(realpath(root + "/plant_0", nil))
        defer { free(path) }
        let directory = String(cString: path)
        let endpoint = try await open()
        let scope = LockScope.scan(try ScanID("plant_0"))
        let lock = try await endpoint.acquireLock(scope, mode: .exclusive, wait: .zero)
        let descriptors = (0..<1024 as Range<CInt>).filter { descriptor in
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
            let count = readlink("/proc/self/fd/\(descriptor)", &buffer, Int(PATH_MAX))
            return count > 0
                && directory.utf8.elementsEqual(buffer.prefix(count).map { UInt8(bitPattern: $0) })
        }
        try #require(!descriptors.isEmpty)
        let copies = descriptors.map { dup($0) }
        defer { for copy in copies { close(copy) } }
        await lock.release()
        try await endpoint.acquireLock(scope, mode: .exclusive, wait: .zero).release()
        await endpoint.close()
        try folder.remove()
    }

    @Test("A target that does not exist is made at its first lock, and not before")
    func createdLazily() async throws {
        try removeTree(root)
        let endpoint = try await open(.creating)
        #expect(try await endpoint.listing().scans.isEmpty)
        #expect(access(root, F_OK) != 0)
        let lock = try await endpoint.acquireLock(.database, mode: .exclusive, wait: .zero)
        await lock.release()
        await endpoint.close()
        #expect(try treeSnapshot(root).items.keys.sorted() == [".", "romidb"])
        try folder.remove()
    }

    @Test("Staging that another run cleared away is made anew")
    func stagingClearedAway() async throws {
        let endpoint = try await open()
        for _ in 0..<2 {
            let lock = try await endpoint.acquireLock(.database, mode: .exclusive, wait: .zero)
            let transaction = try await endpoint.beginTransaction(
                on: ScanID("new"), replacing: nil, options: TransactionOptions())
            await transaction.abort()
            await lock.release()
            // As who locks over SFTP does, who sees no flock.
            try removeTree(root + "/.plantdb-sync")
        }
        await endpoint.close()
        try folder.remove()
    }

    @Test("A lock that was taken over SFTP, or on a clone of this machine, is not taken for a dead one")
    func locksWithoutFlock() async throws {
        let endpoint = try await open()
        func attempt(holdsFlock: Bool, _ change: (inout JSONObject) -> Void) async throws
            -> DatabaseError.Code?
        {
            let bytes = LockOwner.current(mode: .exclusive, holdsFlock: holdsFlock).encoded()
            var owner = try #require(try JSONValue(parsing: bytes).object)
            change(&owner)
            try writeFile(root + "/lock", JSONValue.object(owner).pythonBytes())
            defer { unlink(root + "/lock") }
            do throws(DatabaseError) {
                await (try await endpoint.acquireLock(.database, mode: .shared, wait: .zero)).release()
                return nil
            } catch { return error.code }
        }
        #expect(try await attempt(holdsFlock: false) { _ in } == .locked)
        #expect(try await attempt(holdsFlock: false) { $0["process"] = .number(0x3fff_ffff) } == nil)
        // Its process lives, and would hold the flock if the lock were its own.
        #expect(try await attempt(holdsFlock: true) { _ in } == nil)
        for key in ["hardware", "machine", "host"] {
            #expect(
                try await attempt(holdsFlock: true) {
                    $0["process"] = .number(0x3fff_ffff)
                    $0[key] = "another"
                    // One boot is one machine, whatever else it says.
                    $0["boot"] = "another"
                } == (key == "hardware" && !Self.hasHardware ? nil : .locked), "\(key)")
        }
        await endpoint.close()
        try folder.remove()
    }

    /// Containers may have no card that is one.
    private static let hasHardware =
        (try? JSONValue(parsing: LockOwner.current(mode: .shared, holdsFlock: true).encoded()))?["hardware"]
        != nil

    @Test("A pipe where the companion of a lock belongs blocks nobody", .timeLimit(.minutes(1)))
    func pipeAsCompanion() async throws {
        try #require(mkdir(root + "/.locks", 0o755) == 0)
        try #require(mkfifo(root + "/.locks/plant_0.info", 0o644) == 0)
        let endpoint = try await open()
        do throws(DatabaseError) {
            let lock = try await endpoint.acquireLock(
                .scan(ScanID("plant_0")), mode: .exclusive, wait: .zero)
            await lock.release()
        } catch { #expect(error.code != .locked, "\(error)") }
        await endpoint.close()
        try folder.remove()
    }
}

import Crypto
import Glibc
import PlantDBCore
import PlantDBTesting
import Synchronization
import TestDatabases
import Testing

@Suite struct DatasetsFolderTests {
    @Test func datasetOfTheFolderIsCopiedWithItsTimes() async throws {
        let source = try await Generated([.realPlant], seed: 5)
        let target = try TemporaryDirectory()
        let options = TestDatabaseOptions(seed: 6, detail: .small, datasetsFolder: source.root)
        let origins = try await TestDatabase.populate(
            root: target.appending("db"), datasets: [.realPlant, .arabidopsis000], options: options)
        #expect(
            origins.map(\.kind) == [.copied(from: source.root + "/real_plant"), .generated(seed: 6)])
        #expect(
            try treeSnapshot(target.appending("db/real_plant"))
                .differences(from: treeSnapshot(source.root + "/real_plant")) == [])
    }

    @Test func readOnlyDatasetBecomesWritable() async throws {
        let source = try await Generated([.realPlant])
        chmod(source.root + "/real_plant/files.json", 0o444)
        let target = try TemporaryDirectory()
        try await TestDatabase.populate(
            root: target.path, datasets: [.realPlant],
            options: TestDatabaseOptions(detail: .small, datasetsFolder: source.root))
        #expect(try treeSnapshot(target.appending("real_plant")).items["files.json"]?.mode == 0o644)
    }

    @Test func cacheOfThumbnailsIsNotCopiedAndLinksAreRefused() async throws {
        let source = try await Generated([.realPlant])
        try #require(mkdir(source.root + "/real_plant/webcache", 0o777) == 0)
        try write([1], to: source.root + "/real_plant/webcache/a.jpeg")
        let options = TestDatabaseOptions(detail: .small, datasetsFolder: source.root)
        let target = try TemporaryDirectory()
        try await TestDatabase.populate(root: target.path, datasets: [.realPlant], options: options)
        #expect(access(target.appending("real_plant/webcache"), F_OK) != 0)

        try #require(symlink("/etc/passwd", source.root + "/real_plant/images/link.jpg") == 0)
        let other = try TemporaryDirectory()
        await #expect(throws: DatabaseError(.invalidData, "")) {
            try await TestDatabase.populate(root: other.path, datasets: [.realPlant], options: options)
        }
        #expect(try Set(treeSnapshot(other.path).items.keys) == [".", "romidb"])
    }

    @Test func folderThatIsNotThereIsAnError() async throws {
        let target = try TemporaryDirectory()
        let error = await #expect(throws: DatabaseError.self) {
            try await TestDatabase.populate(
                root: target.path, datasets: [.realPlant],
                options: TestDatabaseOptions(datasetsFolder: target.appending("nowhere")))
        }
        #expect(error?.code == .notFound)
        #expect(error?.message.contains("PLANTDB_DATASETS") == true)
    }

    @Test(.enabled(if: romiDataset != nil, "no genuine ROMI data beside the package"))
    func genuineDatasetsAreCopied() async throws {
        let genuine = try #require(romiDataset)
        let target = try TemporaryDirectory()
        let origins = try await TestDatabase.populate(
            root: target.path, datasets: [.virtualPlant],
            options: TestDatabaseOptions(datasetsFolder: genuine))
        #expect(origins.map(\.kind) == [.copied(from: genuine + "/virtual_plant")])
        let copy = try treeSnapshot(target.appending("virtual_plant")).files
        let original = try treeSnapshot(genuine + "/virtual_plant").files
        #expect(copy.mapValues(\.digest) == original.mapValues(\.digest))
        #expect(copy.mapValues(\.modified) == original.mapValues(\.modified))
    }
}

/// Archives of a server in the test stand in for Zenodo's, which no test may need.
@Suite struct DownloadTests {
    private static let path = "/files/real_plant.zip"

    private static func archive(folder: String = "real_plant/") -> [UInt8] {
        ZipArchive.bytes([
            .init(name: folder + "images/", content: [], mode: 0o040755),
            .init(name: folder + "files.json", content: Array("{\"filesets\": []}".utf8)),
            .init(name: folder + "metadata/metadata.json", content: Array("{}".utf8)),
            .init(name: folder + "images/00000_rgb.jpg", content: [UInt8](repeating: 7, count: 300_000)),
            .init(name: folder + "webcache/a.jpeg", content: [1]),
        ])
    }

    /// A server with one archive, a cache and a database to fill.
    private struct Setting {
        let server: ArchiveServer
        let folder: TemporaryDirectory
        var options: TestDatabaseOptions

        init(_ archive: [UInt8], md5 wanted: [UInt8]? = nil) throws {
            server = try ArchiveServer([DownloadTests.path: archive])
            folder = try TemporaryDirectory()
            options = TestDatabaseOptions(
                source: .download(baseURL: server.address), cacheFolder: folder.appending("cache/datasets"))
            options.checksums = [.realPlant: md5(wanted ?? archive)]
        }

        var root: String { folder.appending("db") }
        var cache: String { folder.appending("cache/datasets") }

        @discardableResult
        func populate(_ progress: @escaping @Sendable (TestDatabaseProgress) -> Void = { _ in }) async throws
            -> [TestDatasetOrigin]
        {
            try await TestDatabase.populate(
                root: root, datasets: [.realPlant], options: options, progress: progress)
        }

        func expectNoScan() throws {
            #expect(try Set(treeSnapshot(root).items.keys) == [".", "romidb"])
        }
    }

    @Test(arguments: ["real_plant/", ""])
    func archiveIsUnpackedAndKept(_ folder: String) async throws {
        let archive = Self.archive(folder: folder)
        let setting = try Setting(archive)
        defer { setting.server.stop() }
        let received = Mutex<[Int64]>([])
        let origins = try await setting.populate { progress in
            guard case .downloading(.realPlant, let bytes, let total) = progress else { return }
            #expect(total == Int64(archive.count))
            received.withLock { $0.append(bytes) }
        }
        let origin = try #require(origins.first)
        #expect(origin.kind == .downloaded(from: setting.server.address + "/real_plant.zip"))
        #expect(origin.files == 3)
        #expect(origin.bytes == 300_018)
        #expect(received.withLock { $0.last } == Int64(archive.count))
        #expect(received.withLock { $0 == $0.sorted() })
        let scan = try treeSnapshot(setting.root + "/real_plant").files
        #expect(Set(scan.keys) == ["files.json", "metadata/metadata.json", "images/00000_rgb.jpg"])
        // DOS times are of the local time zone.
        var time = tm(
            tm_sec: 8, tm_min: 6, tm_hour: 5, tm_mday: 4, tm_mon: 2, tm_year: 121, tm_wday: 0, tm_yday: 0,
            tm_isdst: -1, tm_gmtoff: 0, tm_zone: nil)
        #expect(scan["files.json"]?.modified?.seconds == Int64(mktime(&time)))
        #expect(try bytesOnDisk(setting.cache + "/real_plant.zip") == archive)

        // The second time nothing is asked of the server.
        var again = setting.options
        again.source = .download(baseURL: setting.server.address)
        try await TestDatabase.populate(
            root: setting.folder.appending("other"), datasets: [.realPlant], options: again)
        #expect(setting.server.requests.count == 1)
    }

    @Test func wrongChecksumIsRefusedAndForgotten() async throws {
        let setting = try Setting(Self.archive(), md5: [1, 2, 3])
        defer { setting.server.stop() }
        let error = await #expect(throws: DatabaseError.self) { try await setting.populate() }
        #expect(error?.code == .verificationFailed)
        #expect(error?.message.contains(setting.server.address) == true)
        try setting.expectNoScan()
        #expect(access(setting.cache + "/real_plant.zip", F_OK) != 0)
        #expect(try bytesOnDisk(setting.cache + "/real_plant.zip.part") == [])
    }

    @Test func damagedArchiveInTheCacheIsFetchedAgain() async throws {
        let setting = try Setting(Self.archive())
        defer { setting.server.stop() }
        try await setting.populate()
        try write([0], to: setting.cache + "/real_plant.zip")
        try await TestDatabase.populate(
            root: setting.folder.appending("other"), datasets: [.realPlant], options: setting.options)
        #expect(setting.server.requests.count == 2)
    }

    @Test(arguments: [true, false])
    func cutDownloadIsFinishedByTheNextRun(_ allowsRanges: Bool) async throws {
        let archive = Self.archive()
        let setting = try Setting(archive)
        defer { setting.server.stop() }
        setting.server.set(
            Self.path, .init(content: archive, allowsRanges: allowsRanges, cutsAfter: 100_000))
        let error = await #expect(throws: DatabaseError.self) { try await setting.populate() }
        #expect(error?.code == .unreachable)
        try setting.expectNoScan()
        // How much of what was sent has arrived is the network's affair.
        let part = try bytesOnDisk(setting.cache + "/real_plant.zip.part")
        #expect(part == Array(archive[..<part.count]))

        try write(Array(archive[..<100_000]), to: setting.cache + "/real_plant.zip.part")
        try await setting.populate()
        #expect(setting.server.requests.last?.contains("bytes=100000-") == true)
        #expect(setting.server.requests.count == 2)
        #expect(access(setting.root + "/real_plant/files.json", F_OK) == 0)
    }

    @Test func wrongBeginningIsFetchedFromTheStart() async throws {
        let setting = try Setting(Self.archive())
        defer { setting.server.stop() }
        try await TestDatabase.populate(root: setting.root, datasets: [])
        for path in ["cache", "cache/datasets"] { mkdir(setting.folder.appending(path), 0o777) }
        // Shorter, and longer than the archive.
        for length in [1000, 1_000_000] {
            try write([UInt8](repeating: 9, count: length), to: setting.cache + "/real_plant.zip.part")
            try await TestDatabase.populate(
                root: setting.folder.appending("db\(length)"), datasets: [.realPlant],
                options: setting.options)
            unlink(setting.cache + "/real_plant.zip")
        }
        #expect(setting.server.requests.count == 4)
    }

    @Test func offlineSaysWhereAndWhatToDo() async throws {
        let setting = try Setting(Self.archive())
        setting.server.stop()
        let error = await #expect(throws: DatabaseError.self) { try await setting.populate() }
        #expect(error?.code == .unreachable)
        for word in [setting.server.address + "/real_plant.zip", "look-alikes", "PLANTDB_DATASETS"] {
            #expect(error?.message.contains(word) == true, "\(word)")
        }
        try setting.expectNoScan()
    }

    @Test(arguments: [(404, DatabaseError.Code.notFound), (403, .permissionDenied), (503, .unreachable)])
    func answersOfTheServerAreErrors(_ status: Int, _ code: DatabaseError.Code) async throws {
        let setting = try Setting(Self.archive())
        defer { setting.server.stop() }
        setting.server.set(Self.path, .init(content: [], status: status))
        let error = await #expect(throws: DatabaseError.self) { try await setting.populate() }
        #expect(error?.code == code)
        #expect(error?.message.contains("\(status)") == true)
        try setting.expectNoScan()
    }

    static let hostile: [(String, ZipArchive.Entry)] = [
        ("parent", .init(name: "real_plant/../../evil.txt", content: [1])),
        ("parent at once", .init(name: "../evil.txt", content: [1])),
        ("absolute", .init(name: "/evil.txt", content: [1])),
        ("backslash", .init(name: "real_plant\\..\\evil.txt", content: [1])),
        ("dot", .init(name: "real_plant/./evil.txt", content: [1])),
        ("control", .init(name: "real_plant/e\u{7}vil.txt", content: [1])),
        ("link", .init(name: "real_plant/images/link", content: Array("/etc/passwd".utf8), mode: 0o120777)),
        ("twice", .init(name: "real_plant/files.json", content: [1])),
        ("folder over a file", .init(name: "real_plant/files.json/a", content: [1])),
        ("checksum", .init(name: "real_plant/images/bad.jpg", content: [1, 2, 3], damagesChecksum: true)),
    ]

    @Test(arguments: hostile)
    func hostileArchiveIsRefused(_ name: String, _ entry: ZipArchive.Entry) async throws {
        let archive = ZipArchive.bytes([
            .init(name: "real_plant/files.json", content: Array("{\"filesets\": []}".utf8)),
            .init(name: "real_plant/metadata/metadata.json", content: Array("{}".utf8)), entry,
        ])
        let setting = try Setting(archive)
        defer { setting.server.stop() }
        let error = await #expect(throws: DatabaseError.self) { try await setting.populate() }
        #expect(error?.code == .invalidData, "\(name): \(error?.description ?? "")")
        try setting.expectNoScan()
        let beside = try treeSnapshot(setting.folder.path).items.keys.filter { $0.contains("evil") }
        #expect(beside.isEmpty)
    }

    @Test func archiveWithoutAScanIsRefused() async throws {
        for archive in [
            ZipArchive.bytes([.init(name: "readme.txt", content: [1])]),
            ZipArchive.bytes([.init(name: "real_plant/files.json", content: [1])]), [1, 2, 3],
        ] {
            let setting = try Setting(archive)
            defer { setting.server.stop() }
            await #expect(throws: DatabaseError(.invalidData, "")) { try await setting.populate() }
            try setting.expectNoScan()
        }
    }

    @Test func archiveThatIsTooLargeIsRefused() async throws {
        var setting = try Setting(Self.archive())
        defer { setting.server.stop() }
        setting.options.archiveLimits.bytes = 100_000
        await #expect(throws: DatabaseError(.invalidData, "")) { try await setting.populate() }
        try setting.expectNoScan()
        setting.options.archiveLimits = .init()
        setting.options.archiveLimits.entries = 3
        await #expect(throws: DatabaseError(.invalidData, "")) { try await setting.populate() }
        try setting.expectNoScan()
    }

    @Test func onlyOneRunDownloadsAnArchive() async throws {
        let setting = try Setting(Self.archive())
        defer { setting.server.stop() }
        for path in ["cache", "cache/datasets"] { mkdir(setting.folder.appending(path), 0o777) }
        let other = open(setting.cache + "/real_plant.zip.part", O_RDWR | O_CREAT, 0o644)
        defer { close(other) }
        try #require(flock(other, LOCK_EX) == 0)
        await #expect(throws: DatabaseError(.locked, "")) { try await setting.populate() }
        try setting.expectNoScan()
    }

    /// Upstream's `test_database.py` of 0.14.5 checks these.
    @Test func zenodosArchivesAreKnown() {
        for dataset in TestDataset.all {
            let archive = DatasetArchive(dataset)
            #expect(archive.md5.utf8.count == 32)
            #expect(
                archive.url(under: DatasetArchive.zenodo)
                    == "https://zenodo.org/records/10379172/files/\(dataset.rawValue).zip")
        }
        #expect(DatasetArchive(.realPlant).md5 == "982e75804aa9ef4078a97aac54bd892e")
    }
}

private func md5(_ bytes: [UInt8]) -> String {
    Insecure.MD5.hash(data: bytes).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

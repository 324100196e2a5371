import Glibc
import PlantDBCore
import PlantDBTesting
import Synchronization
import TestDatabases
import Testing

/// Small look-alikes, generated into a folder of their own.
struct Generated {
    let folder: TemporaryDirectory
    let origins: [TestDatasetOrigin]

    var root: String { folder.appending("db") }

    init(
        _ datasets: [TestDataset], seed: UInt64 = 1, detail: TestDatabaseOptions.Detail = .small,
        workers: Int? = nil
    )
        async throws
    {
        folder = try TemporaryDirectory()
        var options = TestDatabaseOptions(source: .generate, seed: seed, detail: detail)
        options.workers = workers
        origins = try await TestDatabase.populate(
            root: folder.appending("db"), datasets: datasets, options: options)
    }
}

@Suite struct GenerationTests {
    @Test func sameSeedGivesTheSameBytesAndTimes() async throws {
        let one = try await Generated(TestDataset.all, seed: 7, workers: 1)
        let other = try await Generated(TestDataset.all, seed: 7, workers: 4)
        let another = try await Generated([.realPlant], seed: 8)
        func scans(_ generated: Generated) throws -> TreeSnapshot {
            try treeSnapshot(generated.root, includesDirectoryTimes: true).without(".", "romidb")
        }
        #expect(try scans(one).differences(from: scans(other)) == [])
        let images = try scans(one).files.keys.filter { $0.hasPrefix("real_plant/images/") }
        #expect(images.count == 60)
        for image in images {
            #expect(try scans(one).items[image] != scans(another).items[image], "\(image)")
        }
    }

    @Test func countsAndBytesAreTold() async throws {
        let generated = try await Generated([.virtualPlant, .arabidopsis000])
        #expect(generated.origins.map(\.dataset) == [.virtualPlant, .arabidopsis000])
        for origin in generated.origins {
            let files = try treeSnapshot(generated.root + "/" + origin.dataset.rawValue, hashesContent: false)
                .files
            #expect(origin.files == files.count)
            #expect(origin.bytes == files.values.reduce(0) { $0 + $1.size })
            #expect(origin.kind == .generated(seed: 1))
        }
    }

    @Test(arguments: TestDataset.all)
    func everyListedFileIsThereAndNothingElse(_ dataset: TestDataset) async throws {
        let generated = try await Generated([dataset])
        let root = generated.root + "/" + dataset.rawValue
        let index = try JSONValue(parsing: bytesOnDisk(root + "/files.json"))
        var listed: Set<String> = ["files.json"]
        for fileset in index["filesets"]?.array ?? [] {
            let id = try #require(fileset["id"]?.string)
            _ = try ScanID(id)
            listed.insert("metadata/\(id).json")
            for file in fileset["files"]?.array ?? [] {
                let name = try #require(file["file"]?.string)
                #expect(try #require(file["id"]?.string) == String(name.prefix { $0 != "." }))
                listed.insert("\(id)/\(name)")
                listed.insert("metadata/\(id)/\(String(name.prefix { $0 != "." })).json")
            }
        }
        let loose: Set<String> = ["scan.toml", "pipeline.toml", "measures.json", "metadata/metadata.json"]
        let found = Set(try treeSnapshot(root, hashesContent: false).files.keys)
        #expect(found.subtracting(listed).subtracting(loose) == [])
        // Metadata may be missing, files not.
        #expect(listed.subtracting(found).filter { !$0.hasPrefix("metadata/") } == [])
    }

    @Test func jsonIsWrittenAsUpstreamWritesIt() async throws {
        let generated = try await Generated(TestDataset.all)
        let snapshot = try treeSnapshot(generated.root, hashesContent: false)
        for path in snapshot.files.keys where path.hasSuffix(".json") {
            let bytes = try bytesOnDisk(generated.root + "/" + path)
            let value = try JSONValue(parsing: bytes)
            guard path.contains("/metadata/") else { continue }
            #expect(value.pythonBytes() == bytes, "\(path)")
        }
    }

    @Test func analyzedScanHasTheDocumentedFilesets() async throws {
        let generated = try await Generated([.realPlantAnalyzed])
        let index = try JSONValue(parsing: bytesOnDisk(generated.root + "/real_plant_analyzed/files.json"))
        #expect(
            index["filesets"]?.array?.compactMap { $0["id"]?.string } == [
                "images", "AnglesAndInternodes_1_0_2_0_6_0_6dd64fc595",
                "TreeGraph__False_CurveSkeleton_c304a2cc71", "CurveSkeleton__TriangleMesh_0393cb5708",
                "TriangleMesh_9_most_connected_t_open3d_00e095c359", "PointCloud_1_0_1_0_10_0_7ee836e5a9",
                "Voxels___x____300__450__colmap_camera_False_2a093f0ccc",
                "Masks_1__0__1__0____channel____rgb_5619aa428d", "Colmap_True_null_SIMPLE_RADIAL_ffcef49fdc",
                "Undistorted_SIMPLE_RADIAL_Colmap__a333f181b7",
            ])
        // The photos are those of the scan that was analyzed.
        let plain = try await Generated([.realPlant])
        for name in ["images/00000_rgb.jpg", "images/00059_rgb.jpg", "measures.json"] {
            #expect(
                try bytesOnDisk(generated.root + "/real_plant_analyzed/" + name)
                    == bytesOnDisk(plain.root + "/real_plant/" + name), "\(name)")
        }
    }

    static let hasGenuine = romiDataset != nil

    /// Names and numbers of files are the genuine ones; pictures have about their sizes.
    @Test(
        .enabled(if: hasGenuine, "no genuine ROMI data beside the package"),
        arguments: [TestDataset.arabidopsis000, .realPlant, .virtualPlant])
    func lookAlikeIsLikeTheGenuineOne(_ dataset: TestDataset) async throws {
        let genuine = try treeSnapshot(
            try #require(romiDataset) + "/" + dataset.rawValue, hashesContent: false)
        let generated = try await Generated([dataset], detail: .genuine)
        let own = try treeSnapshot(generated.root + "/" + dataset.rawValue, hashesContent: false)
        #expect(Set(own.items.keys) == Set(genuine.items.keys))
        for (path, item) in own.files where !path.hasSuffix(".png") || path.hasSuffix("_rgb.png") {
            let size = try #require(genuine.items[path]).size
            #expect((size / 2...size * 2).contains(item.size), "\(path): \(item.size), genuine \(size)")
        }
        let total = own.files.values.reduce(0) { $0 + $1.size }
        let genuineTotal = genuine.files.values.reduce(0) { $0 + $1.size }
        #expect((genuineTotal * 8 / 10...genuineTotal * 12 / 10).contains(total))
        for (image, size) in [
            ("arabidopsis000/images/arabidopsis000_image071.jpg", [960, 540]),
            ("real_plant/images/00059_rgb.jpg", [1440, 1080]),
        ] where image.hasPrefix(dataset.rawValue + "/") {
            let picture = try ParsedJPEG(bytesOnDisk(generated.root + "/" + image))
            #expect([picture.width, picture.height] == size)
            #expect(picture.blocks == picture.blocksExpected)
        }
        let index = "/" + dataset.rawValue + "/files.json"
        #expect(try bytesOnDisk(generated.root + index) == bytesOnDisk(#require(romiDataset) + index))
    }
}

@Suite struct PopulateTests {
    @Test func namesMeanDatasets() throws {
        #expect(try TestDatabase.datasets(named: nil) == [])
        #expect(try TestDatabase.datasets(named: "all").count == 5)
        #expect(try TestDatabase.datasets(named: "real_plant") == [.realPlant])
        let error = #expect(throws: DatabaseError.self) { try TestDatabase.datasets(named: "plant") }
        #expect(error?.code == .invalidArgument)
        for dataset in TestDataset.all { #expect(error?.message.contains(dataset.rawValue) == true) }
    }

    @Test func newAndEmptyFoldersBecomeDatabases() async throws {
        let folder = try TemporaryDirectory()
        for name in ["new/deep", "empty"] {
            if name == "empty" { try #require(mkdir(folder.appending(name), 0o777) == 0) }
            try await TestDatabase.populate(root: folder.appending(name), datasets: [])
            #expect(try Set(treeSnapshot(folder.appending(name)).files.keys) == ["romidb"])
            #expect(try bytesOnDisk(folder.appending(name) + "/romidb") == [])
        }
    }

    @Test func folderWithOtherContentIsLeftAlone() async throws {
        let folder = try TemporaryDirectory()
        try write([1, 2, 3], to: folder.appending("thesis.tex"))
        let before = try treeSnapshot(folder.path)
        await #expect(throws: DatabaseError(.notADatabase, "")) {
            try await TestDatabase.populate(root: folder.path, datasets: [.realPlant])
        }
        #expect(try treeSnapshot(folder.path) == before)
    }

    @Test func existingScanIsNotTouched() async throws {
        let generated = try await Generated([.realPlant], seed: 1)
        let before = try treeSnapshot(generated.root)
        let options = TestDatabaseOptions(source: .generate, seed: 2, detail: .small)
        // Nothing is made of the others either.
        await #expect(throws: DatabaseError(.alreadyExists, "")) {
            try await TestDatabase.populate(
                root: generated.root, datasets: [.virtualPlant, .realPlant], options: options)
        }
        #expect(try treeSnapshot(generated.root) == before)
    }

    @Test func scansAreAddedToADatabase() async throws {
        let generated = try await Generated([.realPlant])
        let options = TestDatabaseOptions(source: .generate, seed: 1, detail: .small)
        try await TestDatabase.populate(root: generated.root, datasets: [.virtualPlant], options: options)
        let top = try treeSnapshot(generated.root, hashesContent: false).items.keys.filter {
            !$0.contains("/")
        }
        #expect(Set(top) == [".", "romidb", "real_plant", "virtual_plant"])
    }

    @Test func cancelledGenerationLeavesNothing() async throws {
        let folder = try TemporaryDirectory()
        let root = folder.appending("db")
        let seen = Mutex(0)
        let task = Task {
            let options = TestDatabaseOptions(source: .generate, seed: 1, detail: .small)
            try await TestDatabase.populate(root: root, datasets: [.arabidopsis000], options: options) {
                progress in
                guard case .writing(_, let files, _) = progress else { return }
                seen.withLock { $0 = files }
                if files == 20 { withUnsafeCurrentTask { $0?.cancel() } }
            }
        }
        let error = await #expect(throws: DatabaseError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        #expect(seen.withLock { (20..<146).contains($0) })
        #expect(try Set(treeSnapshot(root).items.keys) == [".", "romidb"])
    }

    @Test func whatAKilledRunLeftIsOutOfSightAndRemovedByTheNext() async throws {
        let generated = try await Generated([])
        let staging = generated.root + "/.plantdb-sync/staging/testdb-123-0"
        for path in ["/.plantdb-sync", "/.plantdb-sync/staging", "/.plantdb-sync/staging/testdb-123-0"] {
            try #require(mkdir(generated.root + path, 0o777) == 0)
        }
        try write([1], to: staging + "/files.json")
        let options = TestDatabaseOptions(source: .generate, seed: 1, detail: .small)
        try await TestDatabase.populate(root: generated.root, datasets: [.realPlant], options: options)
        #expect(access(generated.root + "/.plantdb-sync", F_OK) != 0)
        #expect(access(generated.root + "/real_plant/files.json", F_OK) == 0)
    }

    @Test func stagingOfALiveRunIsKept() async throws {
        let generated = try await Generated([])
        let staging = generated.root + "/.plantdb-sync/staging/testdb-123-0"
        for path in ["/.plantdb-sync", "/.plantdb-sync/staging", "/.plantdb-sync/staging/testdb-123-0"] {
            try #require(mkdir(generated.root + path, 0o777) == 0)
        }
        let live = open(staging, O_RDONLY | O_DIRECTORY)
        defer { close(live) }
        try #require(flock(live, LOCK_EX) == 0)
        let options = TestDatabaseOptions(source: .generate, seed: 1, detail: .small)
        try await TestDatabase.populate(root: generated.root, datasets: [.realPlant], options: options)
        #expect(access(staging, F_OK) == 0)
    }
}

/// Writes a file for a test.
func write(_ bytes: [UInt8], to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        try #require(count > 0)
        rest = rest.dropFirst(count)
    }
}

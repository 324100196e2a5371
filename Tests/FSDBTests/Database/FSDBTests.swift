import FSDB
import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

/// The database as a library: what upstream's documented examples do.
struct FSDBTests {
    private let folder: TemporaryDirectory
    private var path: String { folder.appending("db") }

    init() throws { folder = try TemporaryDirectory() }

    private func emptyDatabase() throws(DatabaseError) -> FSDB {
        let db = try FSDB.createEmptyDatabase(at: path)
        try db.connect()
        return db
    }

    private func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path + "/" + name)), as: UTF8.self)
    }

    private func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path + "/" + name) }

    private func error(_ body: () throws -> Void) -> DatabaseError? {
        do {
            try body()
            return nil
        } catch {
            return DatabaseError.wrapping(error, while: "testing")
        }
    }

    // MARK: Opening

    @Test func theDocumentedExampleReadsAsItDoesUpstream() throws {
        try SampleDatabase.plants(2, images: 2).write(to: path)
        let db = try FSDB(path)
        #expect(!db.isConnected)
        try db.connect()
        #expect(db.isConnected)
        #expect(db.path == path)
        #expect(try db.listScans() == ["plant_0", "plant_1"])
        let scan = try db.getScan("plant_0")
        #expect(try scan.metadata["object"]?["species"] == "Arabidopsis")
        let images = try scan.getFileset("images")
        #expect(try images.listFiles() == ["00000_rgb", "00001_rgb"])
        let file = try images.getFile("00001_rgb")
        let name = try #require(try file.filename)
        #expect(try file.read() == Array(Data(contentsOf: URL(filePath: "\(path)/plant_0/images/\(name)"))))
        try db.reload()
        db.disconnect()
        #expect(!db.isConnected)
        #expect(error { _ = try db.listScans() }?.code == .invalidArgument)
    }

    @Test func whatIsNoDatabaseIsRefusedByTheNameOfWhatIsMissing() throws {
        #expect(error { _ = try FSDB(path) }?.code == .notFound)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let missing = try #require(error { _ = try FSDB(path) })
        #expect(missing.code == .notADatabase)
        #expect(missing.message.contains("romidb"))
        try FileManager.default.createDirectory(atPath: path + "/romidb", withIntermediateDirectories: false)
        #expect(error { _ = try FSDB(path) }?.code == .notADatabase)
        try writeFile(folder.appending("file"), [])
        #expect(error { _ = try FSDB(folder.appending("file")) }?.code == .notADatabase)
    }

    @Test func anEmptyDatabaseIsMadeOnlyWhereNothingIs() throws {
        let deep = folder.appending("some/where/new")
        let db = try FSDB.createEmptyDatabase(at: deep)
        try db.connect()
        #expect(try db.listScans().isEmpty)
        #expect(FileManager.default.fileExists(atPath: deep + "/romidb"))
        #expect(error { _ = try FSDB.createEmptyDatabase(at: deep) }?.code == .alreadyExists)
        let full = folder.appending("some")
        let refusal = try #require(error { _ = try FSDB.createEmptyDatabase(at: full) })
        #expect(refusal.code == .alreadyExists)
        #expect(refusal.message.contains("where"))
        #expect(!FileManager.default.fileExists(atPath: full + "/romidb"))
    }

    // MARK: Locks

    @Test func aConnectionKeepsOthersOutUntilItIsGivenBack() throws {
        let db = try emptyDatabase()
        let other = try FSDB(path)
        let refusal = try #require(error { try other.connect() })
        #expect(refusal.code == .locked)
        #expect(refusal.message.contains("\(ProcessInfo.processInfo.processIdentifier)"))
        #expect(!other.isConnected)

        db.unlock()
        #expect(db.isConnected)
        #expect(try db.listScans().isEmpty)
        #expect(error { _ = try db.createScan("new") }?.code == .permissionDenied)
        try other.connect()
        #expect(error { try db.lock() }?.code == .locked)
        other.disconnect()
        try db.lock()
        try db.createScan("new")
        db.disconnect()
        #expect(!exists("lock"))
        #expect(!exists(".plantdb-sync"))
    }

    @Test func aDatabaseThatIsDroppedIsUnlocked() throws {
        do {
            let db = try emptyDatabase()
            try db.createScan("new")
            #expect(exists("lock"))
        }
        #expect(!exists("lock"))
        #expect(!exists(".plantdb-sync"))
    }

    @Test func readersShareAndCannotChange() throws {
        let writer = try emptyDatabase()
        try writer.createScan("scan")
        writer.disconnect()
        let one = try FSDB(path)
        let other = try FSDB(path)
        try one.connect(.readOnly)
        try other.connect(.readOnly)
        #expect(error { try writer.connect() }?.code == .locked)
        #expect(error { try one.deleteScan("scan") }?.code == .permissionDenied)
        #expect(error { try one.getScan("scan").setMetadata("a", 1) }?.code == .permissionDenied)
        try writer.connect(.unlocked)
        #expect(try writer.listScans() == ["scan"])
        one.disconnect()
        #expect(exists("lock"))
        other.disconnect()
        #expect(!exists("lock"))
    }

    @Test func aLockOfUpstreamIsRespected() throws {
        try emptyDatabase().disconnect()
        try writeFile(path + "/lock", [])
        let db = try FSDB(path)
        #expect(error { try db.connect() }?.code == .locked)
        #expect(exists("lock"))
    }

    // MARK: Scans

    @Test func aNewScanHasWhatEveryReleaseWants() throws {
        let db = try emptyDatabase()
        let scan = try db.createScan(
            "scan_1", metadata: ["owner": "é", "object": ["species": "Arabidopsis"]])
        #expect(try text("scan_1/files.json") == "{\n    \"filesets\": []\n}")
        #expect(
            try text("scan_1/metadata/metadata.json")
                == "{\n    \"object\": {\n        \"species\": \"Arabidopsis\"\n    },\n    \"owner\": \"\\u00e9\"\n}"
        )
        #expect(scan.path == path + "/scan_1")
        #expect(try scan.listFilesets().isEmpty)
        #expect(try scan.measures.isEmpty)
        #expect(try db.listScans() == ["scan_1"])
        #expect(try db.scanExists("scan_1"))
        #expect(try !db.scanExists("scan_2"))
        #expect(error { try db.createScan("scan_1") }?.code == .alreadyExists)
        #expect(error { _ = try db.getScan("scan_2") }?.code == .notFound)
    }

    @Test(arguments: ["", ".", "..", ".hidden", "a b", "é", "a/b/c", "/a", "romidb", "lock", "-x"])
    func badNamesAreRefused(_ name: String) throws {
        let db = try emptyDatabase()
        #expect(error { try db.createScan(name) }?.code == .invalidName)
        let scan = try db.createScan("scan")
        #expect(error { try scan.createFileset(name) }?.code == .invalidName)
        let fileset = try scan.createFileset("images")
        #expect(error { try fileset.createFile(name) }?.code == .invalidName)
        #expect(try scan.listFilesets() == ["images"])
        #expect(try fileset.listFiles().isEmpty)
    }

    @Test func aScanIsDeletedWithAllItHolds() throws {
        try SampleDatabase.plants(2).write(to: path)
        let db = try FSDB(path)
        try db.connect()
        let scan = try db.getScan("plant_0")
        try db.deleteScan("plant_0")
        #expect(!exists("plant_0"))
        #expect(try db.listScans() == ["plant_1"])
        #expect(error { _ = try scan.metadata }?.code == .notFound)
        #expect(error { try db.deleteScan("plant_0") }?.code == .notFound)
        db.disconnect()
        #expect(!exists(".plantdb-sync"))
    }

    @Test func aDirectoryThatIsNoScanIsNeitherListedNorDeleted() throws {
        let db = try emptyDatabase()
        try FileManager.default.createDirectory(atPath: path + "/notes", withIntermediateDirectories: false)
        #expect(try db.listScans().isEmpty)
        let refusal = try #require(error { _ = try db.getScan("notes") })
        #expect(refusal.code == .notFound)
        #expect(refusal.message.contains("metadata"))
        #expect(error { try db.deleteScan("notes") }?.code == .notFound)
        #expect(error { try db.createScan("notes") }?.code == .alreadyExists)
        #expect(exists("notes"))
    }

    @Test func aBrokenScanSaysSoAndHidesNoOther() throws {
        try SampleDatabase.plants(2).write(to: path)
        try writeFile(path + "/plant_0/files.json", Array("{\"filesets\": [".utf8))
        try writeFile(path + "/plant_1/metadata/metadata.json", Array("[1]".utf8))
        let db = try FSDB(path)
        try db.connect()
        #expect(try db.listScans() == ["plant_0", "plant_1"])
        let broken = try #require(error { _ = try db.getScan("plant_0") })
        #expect(broken.code == .invalidData)
        #expect(broken.message.contains("plant_0/files.json"))
        #expect(broken.scan?.rawValue == "plant_0")
        let scan = try db.getScan("plant_1")
        #expect(error { _ = try scan.metadata }?.code == .invalidData)
        // What was not understood is not written over.
        #expect(error { try scan.setMetadata("a", 1) }?.code == .invalidData)
        #expect(try text("plant_1/metadata/metadata.json") == "[1]")
    }

    @Test func whatOthersChangeIsSeenAfterReload() throws {
        let db = try emptyDatabase()
        let scan = try db.createScan("scan", metadata: ["a": 1])
        #expect(try scan.getMetadata("a") == 1)
        try writeFile(path + "/scan/metadata/metadata.json", Array("{\"a\": 2}".utf8))
        #expect(try scan.getMetadata("a") == 1)
        try db.reload()
        #expect(try scan.getMetadata("a") == 2)
        try writeFile(path + "/scan/metadata/metadata.json", Array("{\"a\": 2, \"b\": 3}".utf8))
        // A change starts from what is on disk, reload or not.
        try scan.setMetadata("c", 4)
        #expect(try scan.metadata == ["a": 2, "b": 3, "c": 4])
    }

    // MARK: Timelapses

    @Test func membersOfATimelapseAreScans() throws {
        try SampleDatabase.plants(1).write(to: path)
        try FileManager.default.createDirectory(atPath: path + "/TL", withIntermediateDirectories: false)
        try writeFile(path + "/TL/timelapse.json", Array("{\"id\": \"TL\"}".utf8))
        let db = try FSDB(path)
        try db.connect()
        #expect(try db.listTimelapses() == ["TL"])
        let member = try db.createScan("TL/day_1", metadata: ["owner": "ada"])
        #expect(try db.listScans() == ["TL/day_1", "plant_0"])
        #expect(try member.metadata == ["owner": "ada", "timelapse": ["id": "TL"]])
        try member.createFileset("images").createFile("a").write("x", ext: "txt")
        #expect(try text("TL/day_1/images/a.txt") == "x")
        #expect(try db.getScans().map(\.id) == ["TL/day_1", "plant_0"])

        // Releases 0.16 and later cannot open a database where these disagree.
        #expect(
            error { try db.createScan("TL/day_2", metadata: ["timelapse": ["id": "other"]]) }?.code
                == .invalidArgument)
        #expect(
            error { try db.createScan("flat", metadata: ["timelapse": ["id": "TL"]]) }?.code
                == .invalidArgument)
        #expect(error { try member.setMetadata("timelapse", ["id": "other"]) }?.code == .invalidArgument)
        #expect(error { try db.createScan("none/day_1") }?.code == .notFound)
        #expect(error { try db.createScan("plant_0/day_1") }?.code == .notFound)
        #expect(error { try db.deleteScan("TL") }?.code == .notFound)
        try db.deleteScan("TL/day_1")
        #expect(try db.listScans() == ["plant_0"])
    }

    // MARK: The genuine database

    @Test(.enabled(if: romiDataset != nil, "the ROMI data is not beside the package"))
    func opensTheGenuineDatabase() throws {
        let db = try FSDB(try #require(romiDataset))
        try db.connect(.unlocked)
        #expect(try db.listScans() == ["arabidopsis000", "models", "real_plant", "virtual_plant"])
        // It lists a fileset that is not on disk, which upstream drops.
        #expect(try db.getScan("models").listFilesets().isEmpty)
        let plant = try db.getScan("real_plant")
        #expect(try plant.metadata.isEmpty)
        #expect(try plant.measures["angles"]?.array?.isEmpty == false)
        for scan in try db.getScans() {
            for fileset in try scan.getFilesets() {
                let files = try fileset.getFiles()
                #expect(!files.isEmpty)
                for file in files.prefix(3) {
                    #expect(try !file.read().isEmpty)
                    _ = try file.metadata
                }
            }
        }
        let virtual = try db.getScan("virtual_plant").getFileset("images").getFile("00000_rgb")
        #expect(try virtual.getMetadata("channel") == "rgb")
        #expect(error { try db.createScan("never") }?.code == .permissionDenied)
    }
}

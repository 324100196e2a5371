import FSDB
import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

@testable import SyncApp

/// The app's process, as its page uses it.
@Suite struct AppTests {
    private let folder: TemporaryDirectory
    private var source: String { folder.appending("source") }
    private var target: String { folder.appending("target") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(3, images: 6, seed: 5).write(to: folder.appending("source"))
    }

    @Test("Connect, compare, look at a plan, sync, compare again, and fetch the report")
    func wholeWay() async throws {
        let app = try await AppFixture()
        let pair = try await app.connect(source, target)
        #expect(pair.source.facts.scans == 3 && pair.target.facts.scans == 0)
        let compared = try await app.compare(pair)
        let rows = compared.rows
        #expect(rows.map(\.scan) == ["plant_0", "plant_1", "plant_2"])
        #expect(rows.allSatisfy { $0.state == .sourceOnly && $0.moveFiles > 6 && $0.moveBytes > 0 })
        let one = #"{"comparison":"\#(compared.id)","scans":["plant_1"]}"#
        let plan = try await app.post("/api/plan", one)
        #expect(plan.text.contains("images\\/00000_rgb.jpg") && plan.text.contains("copy"))
        let details: [ScanDetails] = try await app.post("/api/details", one).json()
        #expect(details.first?.hasImage == true && details.first?.files == rows[1].moveFiles)
        let image = try await app.get("/api/thumbnail?comparison=\(compared.id)&scan=plant_1")
        #expect(image.headers.first(name: "Content-Type") == "image/jpeg")
        #expect(try image.bytes == bytesOnDisk(source + "/plant_1/images/00000_rgb.jpg"))

        let first = try await app.start(compared, scans: ["plant_1"])
        #expect(first.job.state == .finished && first.job.percent == 100, "\(first)")
        #expect(try databaseDifferences(source + "/plant_1", target + "/plant_1") == [])
        #expect(!FileManager.default.fileExists(atPath: target + "/plant_0"))
        _ = try await app.start(compared)
        #expect(try databaseDifferences(source, target) == [])
        let again = try await app.compare(pair, replaces: compared.id)
        #expect(again.rows.allSatisfy { $0.state == .same } && again.message.target.scans == 3)
        let report = try await app.get("/api/jobs/report?job=1")
        #expect(report.headers.first(name: "Content-Disposition")?.contains("attachment") == true)
        #expect(report.text.contains("plantdb.app-report") && report.text.contains("plant_1"))
        try await app.stop()
    }

    @Test("What only the target has is deleted only as far as it was shown")
    func deletion() async throws {
        try SampleDatabase.plants(4, images: 6, seed: 5).write(to: target)
        let app = try await AppFixture()
        let pair = try await app.connect(source, target)
        let without = try await app.compare(pair)
        #expect(without.rows.first { $0.scan == "plant_3" }?.state == .targetOnly)
        let compared = try await app.compare(pair, delete: true)
        let extra = try #require(compared.rows.first { $0.scan == "plant_3" })
        #expect(extra.deleteFiles > 6)
        // What that comparison did not show cannot be asked for with it.
        let other = try await app.post(
            "/api/jobs", #"{"comparison":"\#(without.id)","scans":[],"verify":false,"deleteFiles":999}"#)
        #expect(other.status == 409)
        let refused = try await app.start(compared, #","deleteFiles":\#(extra.deleteFiles - 1)"#)
        #expect(refused.job.state == .failed && refused.job.error?.contains("delete") == true)
        #expect(FileManager.default.fileExists(atPath: target + "/plant_3"))
        let done = try await app.start(compared, #","deleteFiles":\#(extra.deleteFiles)"#)
        #expect(done.job.state == .finished, "\(done)")
        // What no run had brought there is kept in the trash.
        #expect(
            try databaseDifferences(source, target).filter { !$0.hasPrefix(".plantdb-sync") } == [])
        try await app.stop()
    }

    @Test("A timelapse that only the target has can be deleted, with its members")
    func timelapse() async throws {
        var extra = SampleDatabase()
        var container = SampleTree()
        try container.file("timelapse.json", "{}")
        try extra.add("growth", container)
        try extra.add("growth/day_1", .minimal())
        try extra.write(to: target)
        let app = try await AppFixture()
        let compared = try await app.compare(try await app.connect(source, target), delete: true)
        let count = compared.rows.reduce(0) { $0 + $1.deleteFiles }
        let done = try await app.start(compared, #","deleteFiles":\#(count)"#)
        #expect(done.job.state == .finished, "\(done)")
        #expect(!FileManager.default.fileExists(atPath: target + "/growth"))
        try await app.stop()
    }

    @Test("A scan that cannot be read is named beside its error, the others go on, and a retry completes it")
    func retry() async throws {
        let image = source + "/plant_1/images/00002_rgb.jpg"
        try FileManager.default.createSymbolicLink(
            atPath: source + "/plant_1/images/link.jpg", withDestinationPath: image)
        // A file that is no valid index keeps this scan from being published.
        let index = try bytesOnDisk(source + "/plant_1/files.json")
        try writeFile(source + "/plant_1/files.json", Array("{".utf8))
        let app = try await AppFixture()
        let compared = try await app.compare(try await app.connect(source, target))
        let failed = try await app.start(compared)
        #expect(failed.job.state == .failed && failed.job.scansFailed == 1, "\(failed)")
        #expect(failed.scans.first { $0.scan == "plant_1" }?.errors.isEmpty == false)
        #expect(FileManager.default.fileExists(atPath: target + "/plant_2/files.json"))
        #expect(!FileManager.default.fileExists(atPath: target + "/plant_1"))
        try writeFile(source + "/plant_1/files.json", index)
        let again = try await app.job(#"{"job":"1"}"#, path: "/api/jobs/retry")
        #expect(again.job.state == .finished && again.job.title == "plant_1", "\(again)")
        try await app.stop()
    }

    @Test("Wrong locations say what is wrong, and names are data")
    func badLocations() async throws {
        let app = try await AppFixture()
        let answer = try await app.post(
            "/api/connect", #"{"side":"source","location":"/no/such/<b>place</b>"}"#)
        #expect(answer.status == 422 && answer.text.contains("there is no database"))
        #expect(answer.headers.first(name: "Content-Type") == "application/json")
        #expect(try await app.post("/api/compare", #"{"checksum":false,"delete":false}"#).status == 400)
        #expect(try await app.post("/api/connect", "{").status == 400)
        #expect(try await app.post("/api/connect", #"{"side":"elsewhere","location":"/"}"#).status == 400)
        let compared = try await app.compare(try await app.connect(source, target))
        #expect(
            try await app.get("/api/thumbnail?comparison=\(compared.id)&scan=..%2F..%2Fetc").status == 422)
        #expect(try await app.get("/api/jobs/report?job=7").status == 422)
        let folders = try await app.post("/api/folders", #"{"path":"\#(folder.path)"}"#)
        #expect(
            folders.text.contains(#""isDatabase":true,"name":"source""#)
                || folders.text.contains(#""name":"source","isDatabase":true"#))
        try await app.stop()
    }

    @Test(
        "Two pages with two pairs do not get in each other's way, and a page starts what it shows, or nothing"
    )
    func pairs() async throws {
        let app = try await AppFixture()
        let elsewhere = folder.appending("elsewhere")
        let first = try await app.compare(try await app.connect(source, target))
        let second = try await app.compare(try await app.connect(source, elsewhere))
        #expect(first.message.target.location != second.message.target.location)
        #expect(try await app.start(first, scans: ["plant_0"]).job.state == .finished)
        #expect(FileManager.default.fileExists(atPath: target + "/plant_0/files.json"))
        #expect(!FileManager.default.fileExists(atPath: elsewhere))
        #expect(try await app.start(second, scans: ["plant_1"]).job.state == .finished)
        #expect(FileManager.default.fileExists(atPath: elsewhere + "/plant_1/files.json"))
        #expect(!FileManager.default.fileExists(atPath: target + "/plant_1"))
        try await app.stop()
    }

    @Test("A start for anything but a comparison that is kept is refused, and says what to do")
    func outdated() async throws {
        let app = try await AppFixture()
        let pair = try await app.connect(source, target)
        let old = try await app.compare(pair)
        let new = try await app.compare(pair, replaces: old.id)
        for id in [old.id, "", "1", pair.source.database] {
            let answer = try await app.post(
                "/api/jobs", #"{"comparison":"\#(id)","scans":[],"verify":false}"#)
            #expect(answer.status == 409 && answer.text.contains("test both connections again"), "\(id)")
            #expect(try await app.get("/api/comparison?id=\(id)").status == 409)
        }
        // Neither a database on the wrong side, nor one that nobody tested.
        for (one, two) in [
            (pair.target.database, pair.source.database), (pair.source.database, "nobody"),
        ] {
            let body = #"{"source":"\#(one)","target":"\#(two)","checksum":false,"delete":false}"#
            #expect(try await app.post("/api/compare", body).status == 409)
        }
        #expect(!FileManager.default.fileExists(atPath: target))
        #expect(try await app.start(new).job.state == .finished)
        try await app.stop()
    }

    @Test("A canary secret that is given to connect is in no answer and no event")
    func secrets() async throws {
        let app = try await AppFixture()
        let answer = try await app.post(
            "/api/connect",
            #"{"side":"source","location":"http://127.0.0.1:1","token":"canary-0123456789abcdef","password":"canary-pw"}"#
        )
        #expect(answer.status == 422 && !answer.text.contains("canary"))
        #expect(try await !app.get("/api/start").text.contains("canary"))
        try await app.stop()
    }
}

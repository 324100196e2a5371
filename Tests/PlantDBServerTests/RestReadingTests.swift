import FSDB
import Foundation
import NIOCore
import PlantDBCore
import PlantDBTesting
import Testing
import ZipStream

@testable import PlantDBServer

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Upstream's reading calls, both generations, as their clients send them.
@Suite struct RestReadingTests {
    private struct Answer {
        let status: Int
        let body: [UInt8]
        let response: HTTPURLResponse

        func header(_ name: String) -> String? { response.value(forHTTPHeaderField: name) }
        func json() throws -> JSONValue { try JSONValue(parsing: body) }
    }

    private struct Client: Sendable {
        let base: String

        func get(_ path: String, _ headers: [String: String] = [:], method: String = "GET") async throws
            -> Answer
        {
            var request = URLRequest(url: try #require(URL(string: base + path)))
            request.httpMethod = method
            request.cachePolicy = .reloadIgnoringLocalCacheData
            for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
            let (data, response) = try await URLSession.shared.data(for: request)
            let http = try #require(response as? HTTPURLResponse)
            return Answer(status: http.statusCode, body: Array(data), response: http)
        }
    }

    /// Serves two plants and a member of a timelapse container, for as long as `body` runs.
    private func serving(
        prefix: String = "", _ body: @Sendable (_ client: Client, _ path: String) async throws -> Void
    ) async throws {
        let folder = try TemporaryDirectory()
        let path = folder.appending("db")
        var database = try SampleDatabase.plants(2)
        try database.add("TL/member", .minimal("of a timelapse"))
        try database.write(to: path)
        try FileManager.default.createDirectory(atPath: path + "/notes", withIntermediateDirectories: false)
        for (name, text) in [
            ("users.json", "canary"), ("TL/timelapse.json", "{}"), ("lock", ""),
            ("notes/secret.txt", "canary"),
        ] {
            try writeFile(path + "/" + name, Array(text.utf8))
        }
        let server = TestRestApiServer(databasePath: path, prefix: prefix)
        try await server.start()
        let outcome: Result<Void, any Error>
        do {
            try await body(Client(base: try #require(server.baseURL)), path)
            outcome = .success(())
        } catch { outcome = .failure(error) }
        try await server.stop()
        try folder.remove()
        try outcome.get()
    }

    @Test("Clients recognise the generation, and the token None is no token")
    func home() async throws {
        try await serving { client, _ in
            let root = try await client.get("/").json()
            #expect(root["name"]?.string == "PlantDB REST API" && root["endpoints"] != nil)
            #expect(root["plantdb.server"]?.string != nil)
            let later = try await client.get("/api/v1/").json()
            #expect(later["name"]?.string == "PlantDB REST API" && later["endpoints"] == nil)
            for path in ["/health", "/api/v1/health"] {
                let health = try await client.get(path, ["Authorization": "Bearer None"]).json()
                #expect(health["status"]?.string == "healthy")
                #expect(health["database"]?["scan_count"]?.int == 3)
            }
        }
    }

    @Test("Scans, filesets, files and metadata are listed in both dialects", arguments: ["", "/lab"])
    func lists(prefix: String) async throws {
        try await serving(prefix: prefix) { client, _ in
            for path in ["/scans", "/api/v1/scans"] {
                let scans = try await client.get(path).json()
                #expect(scans == ["member", "plant_0", "plant_1"], "\(path)")
            }
            for (scan, fileset, file) in [
                ("/api/scan", "/api/fileset", "/api/file"),
                ("/api/v1/scans", "/api/v1/filesets", "/api/v1/files"),
            ] {
                let filesets = try await client.get(scan + "/plant_0/filesets").json()["filesets"]
                #expect(Set(filesets?.array?.compactMap(\.string) ?? []) == ["images", "PointCloud_1_0"])
                let files = try await client.get(fileset + "/plant_0/images/files").json()["files"]
                #expect(files == ["00000_rgb", "00001_rgb", "00002_rgb"])
                let metadata = try await client.get(scan + "/plant_0/metadata").json()["metadata"]
                #expect(metadata?["object"]?["species"]?.string == "Arabidopsis")
                let member = try await client.get(scan + "/plant_0/metadata?key=object").json()["metadata"]
                #expect(member?["species"]?.string == "Arabidopsis")
                let image = try await client.get(file + "/plant_0/images/00001_rgb/metadata").json()
                #expect(image["metadata"]?["channel"]?.string == "rgb")
                let none = try await client.get(fileset + "/plant_0/images/metadata").json()["metadata"]
                #expect(none == .object(JSONObject()))
                let missing = try await client.get(scan + "/plant_7/metadata")
                #expect(missing.status == 404)
                #expect(try missing.json()["message"]?.string?.contains("plant_7") == true)
                #expect(try missing.json()["error"]?.string?.contains("plant_7") == true)
            }
            for path in ["/refresh", "/refresh?scan_id=plant_0", "/api/v1/refresh"] {
                #expect(try await client.get(path).json()["message"]?.string != nil)
            }
        }
    }

    @Test("A scan's info names its photographs and tasks, and its addresses can be followed")
    func infos() async throws {
        try await serving(prefix: "/lab") { client, _ in
            for path in ["/scans/plant_1", "/api/v1/scans/plant_1"] {
                let info = try await client.get(path).json()
                #expect(info["id"]?.string == "plant_1")
                #expect(info["images"]?.array?.count == 3 && info["metadata"]?["nbPhotos"]?.int == 3)
                #expect(info["metadata"]?["species"]?.string == "Arabidopsis")
                #expect(info["hasPointCloud"]?.bool == true && info["hasColmap"]?.bool == false)
                #expect(info["tasks_fileset"]?["PointCloud"]?.string == "PointCloud_1_0")
                let origin = Client(base: String(client.base.dropLast("/lab".count)))
                for address in [
                    info["filesUri"]?["pointCloud"], info["thumbnailUri"],
                    info["metadata"]?["files"]?["metadata"], info["metadata"]?["files"]?["archive"],
                ] {
                    let address = try #require(address?.string)
                    #expect(try await origin.get(address).status == 200, "\(address)")
                }
            }
            for path in ["/scans_info", "/api/v1/scans/info"] {
                let infos = try await client.get(path).json()
                #expect(infos.array?.compactMap { $0["id"]?.string } == ["member", "plant_0", "plant_1"])
            }
        }
    }

    @Test("A file comes whole, in ranges, and not at all where the client has it")
    func files() async throws {
        try await serving { client, path in
            let name = "plant_0/images/00001_rgb.jpg"
            let content = Array(try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
            for base in ["/files/", "/api/v1/assets/files/"] {
                let whole = try await client.get(base + name)
                #expect(whole.status == 200 && whole.body == content)
                #expect(whole.header("Content-Type") == "image/jpeg")
                let tag = try #require(whole.header("ETag"))
                // The time of the sample, to the nanosecond.
                let times = tag.dropFirst().split(separator: "-")
                #expect(times[0].split(separator: ".")[1] == "000001001" && times[1] == "\(content.count)")
                let date = try #require(whole.header("Last-Modified"))
                #expect(date.hasSuffix(" GMT"))
                let head = try await client.get(base + name, method: "HEAD")
                #expect(head.status == 200 && head.header("Content-Length") == "\(content.count)")
                #expect(head.header("ETag") == tag && head.body.isEmpty)
                for header in ["If-None-Match": tag, "If-Modified-Since": date] {
                    let same = try await client.get(base + name, [header.key: header.value])
                    #expect(same.status == 304 && same.body.isEmpty)
                }
                for (range, expected) in [
                    ("bytes=10-19", content[10...19]), ("bytes=50-", content[50...]),
                    ("bytes=-7", content.suffix(7)), ("bytes=90-999999", content[90...]),
                ] {
                    let part = try await client.get(base + name, ["Range": range, "If-Range": tag])
                    #expect(part.status == 206 && part.body == Array(expected), "\(range)")
                }
                let other = try await client.get(base + name, ["Range": "bytes=1-2", "If-Range": "\"x\""])
                #expect(other.status == 200 && other.body == content)
                for range in ["bytes=999999-", "bytes=0-1,3-4", "bytes=5-2", "bytes=--1"] {
                    #expect(try await client.get(base + name, ["Range": range]).status == 416, "\(range)")
                }
                #expect(
                    try await client.get(base + "TL/member/images/a.txt").body == Array("of a timelapse".utf8)
                )
            }
            let byID = try await client.get("/api/v1/files/plant_0/images/00001_rgb")
            #expect(byID.body == content)
            for base in ["/image/", "/api/v1/assets/image/"] {
                let image = base + "plant_0/images/00001_rgb"
                #expect(try await client.get(image + "?size=orig").body == content)
                #expect(try await client.get(image + "?size=thumb").body == content)
            }
        }
    }

    @Test("Nothing is served that is no part of a scan")
    func secrets() async throws {
        try await serving { client, _ in
            for base in ["/files/", "/api/v1/assets/files/"] {
                for name in [
                    "users.json", "groups.json", "lock", "romidb", "TL/timelapse.json/x", ".locks/x.lock",
                    "plant_0/%2e%2e/users.json", "plant_0%2f..%2fusers.json", "%2e%2e/users.json",
                    "plant_0/images", "plant_0", ".plantdb-sync/staging", "plant_0/%00", "plant_0/%zz",
                    // A folder that is no scan.
                    "notes/secret.txt",
                ] {
                    let answer = try await client.get(base + name)
                    #expect(answer.status == 404, "\(name)")
                    #expect(!String(decoding: answer.body, as: UTF8.self).contains("canary"), "\(name)")
                }
            }
        }
    }

    @Test("An archive holds every file of its scan, in the layout of its generation")
    func archives() async throws {
        try await serving { client, path in
            let scan = path + "/plant_0/"
            for (base, folder) in [("/archive/", "plant_0/"), ("/api/v1/assets/archive/", "")] {
                let answer = try await client.get(base + "plant_0")
                #expect(answer.status == 200 && answer.header("Content-Type") == "application/zip")
                #expect(answer.header("Content-Length") == "\(answer.body.count)")
                var reader = ZipReader()
                reader.push(ByteBuffer(bytes: answer.body))
                var names: [String] = []
                var content: [UInt8] = []
                while let event = try reader.next() {
                    switch event {
                    case .begin: content = []
                    case .data(let part): content += Array(part.readableBytesView)
                    case .end(let entry):
                        #expect(entry.path.hasPrefix(folder))
                        let name = String(entry.path.dropFirst(folder.count))
                        names.append(name)
                        #expect(content == Array(try Data(contentsOf: URL(fileURLWithPath: scan + name))))
                    }
                }
                try reader.finish()
                let found = FileManager.default.enumerator(atPath: path + "/plant_0")?.compactMap {
                    $0 as? String
                }.filter { name in
                    var isDirectory: ObjCBool = false
                    return FileManager.default.fileExists(atPath: scan + name, isDirectory: &isDirectory)
                        && !isDirectory.boolValue
                }
                #expect(Set(names) == Set(found ?? []) && names.count == found?.count)
                #expect(try await client.get(base + "plant_9").status == 404)
                // What the client of 0.15 and later sends as an upload, and takes any 2xx for success.
                let upload = try await client.get(base + "plant_0", method: "POST")
                #expect((400..<500).contains(upload.status))
            }
        }
    }
}

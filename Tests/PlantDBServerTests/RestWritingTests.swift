import FSDB
import Foundation
import Glibc
import NIOCore
import PlantDBCore
import PlantDBTesting
import PlantDBWire
import Synchronization
import Testing
import ZipStream

@testable import PlantDBServer

/// The calls that change the database, as upstream's clients and others send them.
@Suite struct RestWritingTests {
    private let folder: TemporaryDirectory
    private var path: String { folder.appending("db") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(1, images: 2, seed: 3).write(to: folder.appending("db"))
    }

    private func serving(_ body: @Sendable (RestClient) async throws -> Void) async throws {
        try await withServer(path, { $0.isOpen = true }) { client, _ in try await body(client) }
        #expect(!exists("lock") && !exists(".plantdb-sync/staging"))
        try folder.remove()
    }

    private func archive(
        _ files: [(String, String)], method: ZipEntry.Method = .deflated, sizes: Bool = true
    ) throws -> [UInt8] {
        var zip = ZipWriter()
        var bytes: [UInt8] = []
        for (name, text) in files {
            let size = Int64(text.utf8.count)
            bytes += Array(buffer: try zip.begin(name, size: size, modified: 1_700_000_000, method: method))
            for piece in try zip.write(ByteBuffer(string: text)) { bytes += Array(buffer: piece) }
            bytes += Array(buffer: try zip.end())
        }
        return bytes + Array(buffer: try zip.finish())
    }

    private static let index =
        #"{"filesets":[{"id":"images","files":[{"id":"a","file":"a.jpg"}]}]}"#
    private static let good = [
        ("files.json", index), ("images/a.jpg", String(repeating: "image", count: 50_000)),
        ("metadata/metadata.json", #"{"object":{"species":"ü"}}"#),
        ("metadata/images/a.json", #"{"channel":"rgb"}"#),
    ]

    private func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path + "/" + name) }

    private func text(_ name: String) throws -> String {
        String(decoding: try bytesOnDisk(path + "/" + name), as: UTF8.self)
    }

    @Test("An archive becomes a scan, in both dialects and both layouts")
    func archives() async throws {
        try await serving { client in
            for (number, (base, top)) in [
                ("/archive/", ""), ("/api/v1/assets/archive/", ""), ("/archive/", "top"),
            ]
            .enumerated() {
                let name = "new\(number)"
                let files = Self.good.map { (top.isEmpty ? $0.0 : "\(name)/\($0.0)", $0.1) }
                let answer = try await client.post(
                    base + name,
                    form: [.archive(try archive(files, method: number == 0 ? .stored : .deflated))])
                #expect(answer.status == 200, "\(answer.text)")
                #expect(
                    try Set(answer.json()["files"]?.array?.compactMap(\.string) ?? [])
                        == Set(Self.good.map(\.0)))
                for (file, content) in Self.good { #expect(try text("\(name)/\(file)") == content) }
                #expect(try await client.send("GET", "/scans/\(name)").json()["id"]?.string == name)
            }
            // Nothing is left behind, and the database is one that FSDB opens.
            let database = try FSDB(path)
            try database.connect()
            #expect(try database.listScans().sorted() == ["new0", "new1", "new2", "plant_0"])
            database.disconnect()
        }
    }

    @Test("An archive of a scan that is there changes nothing, and says so")
    func existingScan() async throws {
        try await serving { client in
            let before = try treeSnapshot(path + "/plant_0")
            for base in ["/archive/", "/api/v1/assets/archive/"] {
                let answer = try await client.post(base + "plant_0", form: [.archive(try archive(Self.good))])
                #expect(answer.status == 409)
                #expect(try answer.json()["error"]?.string?.contains("already exists") == true)
                #expect(try answer.json()["message"]?.string?.contains("already exists") == true)
            }
            #expect(try treeSnapshot(path + "/plant_0") == before)
        }
    }

    @Test(
        "What is no such archive leaves nothing visible",
        arguments: [
            "json", "no form", "empty", "no zip", "cut zip", "damaged", "no index", "bad index",
            "bad metadata", "timelapse", "index leads out", "dots",
            "absolute", "two tops", "file being acquired", "claim of a timelapse", "wrong part", "wrong type",
            "cut form",
        ])
    func refusals(_ kind: String) async throws {
        try await serving { client in
            var good = try archive(Self.good, method: .stored)
            let answer: RestClient.Answer
            switch kind {
            case "json": answer = try await client.post("/api/v1/assets/archive/new", json: [:])
            case "no form":
                answer = try await client.send("POST", "/archive/new", good, type: "application/zip")
            case "empty": answer = try await client.post("/archive/new", form: [])
            case "no zip":
                answer = try await client.post("/archive/new", form: [.archive(Array("text".utf8))])
            case "cut zip":
                answer = try await client.post("/archive/new", form: [.archive(Array(good.dropLast(30)))])
            case "damaged":
                let place = try #require(Array(good).firstRange(of: Array("imageimage".utf8)))
                good[place.lowerBound + 1] ^= 1
                answer = try await client.post("/archive/new", form: [.archive(good)])
            case "no index":
                answer = try await client.post(
                    "/archive/new", form: [.archive(try archive(Array(Self.good.dropFirst())))])
            case "bad index":
                answer = try await client.post(
                    "/archive/new", form: [.archive(try archive(Self.good + [("a/files.json", "{")]))])
                // That one is no index; the scan's own is.
                #expect(answer.status == 200)
                #expect(
                    try await client.post(
                        "/archive/other", form: [.archive(try archive([("files.json", "{")]))]
                    ).status == 400)
                #expect(!exists("other"))
                return
            case "bad metadata":
                answer = try await client.post(
                    "/archive/new",
                    form: [
                        .archive(try archive([("files.json", Self.index), ("metadata/metadata.json", "[]")]))
                    ])
            case "file being acquired":
                let index = Self.index.replacingOccurrences(of: "\"a.jpg\"", with: "null")
                answer = try await client.post(
                    "/archive/new",
                    form: [.archive(try archive([("files.json", index), ("metadata/metadata.json", "{}")]))])
            case "claim of a timelapse":
                answer = try await client.post(
                    "/archive/new",
                    form: [
                        .archive(
                            try archive([
                                ("files.json", Self.index),
                                ("metadata/metadata.json", #"{"timelapse": {"id": "other"}}"#),
                            ]))
                    ])
            case "timelapse":
                answer = try await client.post(
                    "/archive/new", form: [.archive(try archive(Self.good + [("timelapse.json", "{}")]))])
            case "index leads out":
                let index = Self.index.replacingOccurrences(of: "a.jpg", with: "../../users.json")
                answer = try await client.post(
                    "/archive/new", form: [.archive(try archive([("files.json", index)]))])
            case "dots", "absolute":
                // Our own writer makes no such name: another of the same length is put in its place.
                var bytes = try archive(Self.good + [("AA/AA/pwned", "x")], method: .stored)
                let name = Array((kind == "dots" ? "../../pwned" : "/////pwned").utf8)
                while let place = bytes.firstRange(of: Array("AA/AA/pwned".utf8)) {
                    bytes.replaceSubrange(place, with: name)
                }
                answer = try await client.post("/archive/new", form: [.archive(bytes)])
            case "two tops":
                answer = try await client.post(
                    "/archive/new",
                    form: [.archive(try archive([("new/files.json", Self.index), ("b/x", "y")]))])
            case "wrong part":
                answer = try await client.post("/archive/new", form: [.archive(good, name: "file")])
            case "wrong type":
                answer = try await client.post(
                    "/archive/new",
                    form: [.init(name: "zip_file", fileName: "a.zip", type: "text/plain", content: good)])
            default:
                let form = RestClient.form([.archive(good)], "b")
                answer = try await client.send(
                    "POST", "/archive/new", Array(form.dropLast(20)), type: "multipart/form-data; boundary=b")
            }
            #expect(answer.status == 400, "\(kind): \(answer.status) \(answer.text)")
            #expect(try answer.json()["message"]?.string != nil)
            #expect(
                !exists("new") && !exists("pwned")
                    && !FileManager.default.fileExists(atPath: folder.appending("pwned")))
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: path).allSatisfy {
                    $0.hasPrefix(".") || ["plant_0", "romidb"].contains($0)
                })
        }
    }

    @Test("More than the limit is refused before and while it is sent")
    func limits() async throws {
        try await withServer(
            path,
            {
                $0.isOpen = true
                $0.maximumUploadBytes = 1000
            }
        ) { client, _ in
            let answer = try await client.post("/archive/new", form: [.archive(try archive(Self.good))])
            #expect(answer.status == 400 && answer.text.contains("1000 bytes"))
            // A small archive that is large outside.
            let bomb = try archive([
                ("files.json", Self.index), ("images/a.jpg", String(repeating: "0", count: 100_000)),
            ])
            #expect(bomb.count < 1000)
            #expect(try await client.post("/archive/new", form: [.archive(bomb)]).status == 400)
            #expect(!exists("new"))
        }
        try folder.remove()
    }

    @Test("An upload that is cut in the middle leaves nothing, and the same scan can be sent again")
    func cutConnection() async throws {
        try await serving { client in
            let bytes = try archive(Self.good, method: .stored)
            let form = RestClient.form([.archive(bytes)], "b")
            let port = try #require(URL(string: client.base)?.port)
            let head =
                "POST /archive/new HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nContent-Length: \(form.count)\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
            let socket = try await PlainConnection(port: port)
            try await socket.send(Array(head.utf8) + form.prefix(form.count / 2))
            socket.close()
            // The server learns of it when it reads.
            for _ in 0..<100 where exists("new") { try await Task.sleep(for: .milliseconds(50)) }
            #expect(!exists("new"))
            var status = 0
            for _ in 0..<100 {
                status = try await client.post("/archive/new", form: [.archive(bytes)]).status
                if status == 200 { break }
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(status == 200)
        }
    }

    @Test("Two that upload one scan at once: one makes it, the other is told")
    func parallelUploads() async throws {
        try await serving { client in
            let bytes = try archive(Self.good)
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<6 {
                    group.addTask { try await client.post("/archive/new", form: [.archive(bytes)]).status }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.count(where: { $0 == 200 }) == 1, "\(statuses)")
            #expect(statuses.allSatisfy { [200, 409, 423].contains($0) }, "\(statuses)")
            #expect(try text("new/files.json") == Self.index)
        }
    }

    @Test("A scan, a fileset, a file and metadata are made call by call", arguments: [true, false])
    func callByCall(isRoot: Bool) async throws {
        try await serving { client in
            let first: RestClient.Answer
            if isRoot {
                first = try await client.post(
                    "/api/scan", json: ["name": "new", "metadata": ["object": ["species": "Col"]]])
            } else {
                first = try await client.post(
                    "/api/v1/scans/new", json: ["metadata": ["object": ["species": "Col"]]])
            }
            #expect(first.status == 201, "\(first.text)")
            #expect(try first.json()["id"]?.string == "new")
            let scan = isRoot ? "/api/scan/new" : "/api/v1/scans/new"
            let metadata = try await client.send("GET", scan + "/metadata").json()["metadata"]
            #expect(
                metadata?["object"]?["species"]?.string == "Col" && metadata?["owner"]?.string == "anonymous")
            let again =
                isRoot
                ? try await client.post("/api/scan", json: ["name": "new"])
                : try await client.post("/api/v1/scans/new", json: [:])
            #expect(again.status == 409)

            let fileset =
                isRoot
                ? try await client.post(
                    "/api/fileset",
                    json: ["scan_id": "new", "fileset_id": "images", "metadata": ["task": "x"]])
                : try await client.post("/api/v1/filesets/new/images", json: ["metadata": ["task": "x"]])
            #expect(fileset.status == 201, "\(fileset.text)")
            let content = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let parts: [RestClient.Part] = [
                // The file before its fields, which other clients than Python's may do.
                .init(name: "file", fileName: "x", type: "image/jpeg", content: content),
                .field("ext", "jpg"), .field("metadata", #"{"channel": "rgb"}"#),
            ]
            let file =
                isRoot
                ? try await client.post(
                    "/api/file",
                    form: parts + [
                        .field("scan_id", "new"), .field("fileset_id", "images"), .field("file_id", "a"),
                    ])
                : try await client.post("/api/v1/files/new/images/a", form: parts)
            #expect(file.status == 201, "\(file.text)")
            #expect(try bytesOnDisk(path + "/new/images/a.jpg") == content)
            let files = try await client.send(
                "GET", (isRoot ? "/api/fileset" : "/api/v1/filesets") + "/new/images/files")
            #expect(try files.json()["files"] == ["a"])
            let fileMetadata = (isRoot ? "/api/file" : "/api/v1/files") + "/new/images/a/metadata"
            let merged = try await client.post(fileMetadata, json: ["metadata": ["pose": [1, 2]]])
            #expect(merged.status == 200)
            #expect(try merged.json()["metadata"]?["channel"]?.string == "rgb")
            #expect(try text("new/metadata/images/a.json").contains("pose"))
            let changed = try await client.post(
                scan + "/metadata", json: ["metadata": ["owner": "me", "note": "n"]])
            #expect(try changed.json()["metadata"]?["owner"]?.string == "anonymous")
            #expect(try changed.json()["metadata"]?["note"]?.string == "n")

            for (status, answer) in [
                (
                    409,
                    try await client.post(
                        (isRoot ? "/api/file" : "/api/v1/files/new/images/a"),
                        form: isRoot
                            ? parts + [
                                .field("scan_id", "new"), .field("fileset_id", "images"),
                                .field("file_id", "a"),
                            ] : parts)
                ),
                (400, try await client.post("/api/v1/scans/a.b", json: [:])),
                (400, try await client.post("/api/scan", json: ["name": "../x"])),
                (400, try await client.post("/api/scan", json: ["name": "x", "metadata": "no"])),
                (400, try await client.post("/api/scan", json: [:])),
                (404, try await client.post("/api/fileset", json: ["scan_id": "nobody", "fileset_id": "f"])),
                (
                    409,
                    try await client.post("/api/fileset", json: ["scan_id": "new", "fileset_id": "metadata"])
                ),
                (
                    400,
                    try await client.post(
                        "/api/v1/files/new/images/b", form: [.field("ext", "exe"), parts[0]])
                ),
                (404, try await client.post("/api/v1/files/new/none/b", form: Array(parts))),
                (400, try await client.post(scan + "/metadata", json: ["metadata": [1]])),
                (
                    400,
                    try await client.send("POST", scan + "/metadata", Array("{}".utf8), type: "text/plain")
                ),
            ] {
                #expect(answer.status == status, "\(status): \(answer.status) \(answer.text)")
            }
            let database = try FSDB(path)
            try database.connect()
            #expect(try database.listScans().sorted() == ["new", "plant_0"])
            database.disconnect()
        }
    }

    @Test("A raw upload replaces a file, or makes it, whole")
    func rawUploads() async throws {
        try await serving { client in
            let content = Array(String(repeating: "new image ", count: 30_000).utf8)
            func upload(_ file: String, _ bytes: [UInt8], scan: String = "plant_0") async throws -> Int {
                try await client.send(
                    "POST", "/files/" + scan, bytes, type: "application/octet-stream",
                    headers: ["X-File-Path": file, "Content-Disposition": "attachment"]
                ).status
            }
            #expect(try await upload("images/00000_rgb.jpg", content) == 201)
            #expect(try bytesOnDisk(path + "/plant_0/images/00000_rgb.jpg") == content)
            #expect(try await upload("deep/er/file.bin", content) == 201)
            #expect(try bytesOnDisk(path + "/plant_0/deep/er/file.bin") == content)
            #expect(try await upload("metadata/metadata.json", Array(#"{"a": 1}"#.utf8)) == 201)
            #expect(try text("plant_0/metadata/metadata.json") == #"{"a": 1}"#)
            let before = try treeSnapshot(path + "/plant_0")
            for (file, bytes, status) in [
                ("../plant_1/x", content, 400), ("/etc/x", content, 400), ("metadata", content, 400),
                ("metadata/metadata.json", Array("[]".utf8), 400), ("files.json", Array("{}".utf8), 400),
                ("images/a\u{7f}.jpg", content, 400), ("timelapse.json", Array("{}".utf8), 400),
                ("measures.json", Array("[]".utf8), 400), ("measures.json", content, 400),
                ("metadata/metadata.json", Array(#"{"timelapse": {"id": "other"}}"#.utf8), 400),
                (
                    "files.json", Array(Self.index.replacingOccurrences(of: "\"a.jpg\"", with: "null").utf8),
                    400
                ),
                ("metadata/images/a.json", Array("[]".utf8), 400),
            ] {
                #expect(try await upload(file, bytes) == status, "\(file)")
            }
            for (id, name) in [("images", "../../x"), ("images", "/etc/x"), ("..", "x"), ("a/b", "x")] {
                let index = #"{"filesets":[{"id":"\#(id)","files":[{"id":"a","file":"\#(name)"}]}]}"#
                #expect(try await upload("files.json", Array(index.utf8)) == 400, "\(id), \(name)")
            }
            for (file, bytes, status) in [
                ("files.json", Array(Self.index.dropLast().utf8), 400)
            ] {
                #expect(try await upload(file, bytes) == status, "\(file)")
            }
            #expect(try await upload("x", content, scan: "nobody") == 404)
            #expect(try await upload("x", []) == 400)
            #expect(try treeSnapshot(path + "/plant_0") == before)
        }
    }

    @Test("A body that is a message to the server, or a part of a file, does not become the file")
    func messages() async throws {
        try await serving { client in
            let before = try treeSnapshot(path + "/plant_0")
            let object = Array("{}".utf8)
            for type in [
                "application/json", "application/json; charset=utf-8", "Application/JSON",
                "application/x+json",
                "application/x-www-form-urlencoded", "multipart/form-data; boundary=b",
            ] {
                for file in ["images/00000_rgb.jpg", "notes.txt", "metadata/metadata.json"] {
                    let answer = try await client.send(
                        "POST", "/files/plant_0", object, type: type, headers: ["X-File-Path": file])
                    #expect(answer.status == 400, "\(type) \(file): \(answer.status)")
                    #expect(try answer.json()["error"]?.string?.contains("octet-stream") == true)
                }
            }
            // The client of 0.14 sends a file so, a chunk after the other, each as if it were all.
            let chunk = try await client.send(
                "POST", "/files/plant_0", Array("first half".utf8), type: "application/octet-stream",
                headers: ["X-File-Path": "notes.txt", "X-Chunk-Size": "10"])
            #expect(chunk.status == 400 && chunk.text.contains("whole"))
            let file = RestClient.Part(name: "file", fileName: "a.jpg", type: "image/jpeg", content: object)
            for parts: [RestClient.Part] in [
                [.field("file", "/home/me/a.jpg"), .field("ext", "jpg")],
                [
                    .init(name: "file", fileName: "a", type: "application/json", content: object),
                    .field("ext", "jpg"),
                ],
                [file, file, .field("ext", "jpg")],
            ] {
                #expect(try await client.post("/api/v1/files/plant_0/images/a", form: parts).status == 400)
            }
            #expect(try treeSnapshot(path + "/plant_0") == before)
            #expect(
                try await client.post("/api/v1/files/plant_0/images/a", form: [file, .field("ext", "jpg")])
                    .status
                    == 201)
        }
    }

    @Test("A page of another origin, or a name that was made to point here, changes and reads nothing")
    func browsers() async throws {
        try await serving { client in
            let form = RestClient.form([.archive(try archive(Self.good))], "b")
            let answer = try await client.send(
                "POST", "/archive/new", form, type: "multipart/form-data; boundary=b",
                headers: ["Origin": "http://evil.example"])
            #expect(answer.status == 401 && !exists("new"))
            let lock = PeerLockRequest(scope: .database, mode: .shared, wait: 0)
            let taken = try await client.send(
                "POST", "/sync/v1/locks", lock.encoded(), type: "text/plain",
                headers: ["Origin": "http://evil.example"])
            #expect(taken.status == 401)
            let port = try #require(URL(string: client.base)?.port)
            for host in [
                "evil.example", "127.evil.example", "127.0.0.1.evil.example", "localhost.evil.example",
            ] {
                let socket = try await PlainConnection(port: port)
                try await socket.send(
                    Array("GET /scans HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n".utf8))
                #expect(try await socket.receiveAll().hasPrefix("HTTP/1.1 401"), "\(host)")
                socket.close()
            }
        }
    }

    @Test("What arrives damaged cannot be committed, nor can it give anybody rights")
    func damagedParts() async throws {
        try await serving { client in
            func commit(
                _ scan: String, _ body: ByteBuffer, digests: Int = 0, type: String = PeerProtocol.framesType
            ) async throws -> (parts: Int, commit: Int) {
                let begin = PeerBegin(
                    scan: try ScanID(scan), base: nil, options: TransactionOptions(durability: .never))
                let begun = try await client.send(
                    "POST", "/sync/v1/transactions", begin.encoded(), type: "application/json")
                let id = try #require(try begun.json()["id"]?.string)
                let parts = try await client.send(
                    "PUT", "/sync/v1/transactions/\(id)/parts?digests=\(digests)", Array(buffer: body),
                    type: type)
                let committed = try await client.send(
                    "POST", "/sync/v1/transactions/\(id)/commit", [], type: "application/json")
                return (parts.status, committed.status)
            }
            func frames(
                _ content: String, of size: Int, mode: UInt16 = 0o644, file: String = "metadata/x",
                index text: String = Self.index
            ) throws -> ByteBuffer {
                var buffer = ByteBuffer()
                let index = try ScanPath("files.json")
                let file = try ScanPath(file)
                for (path, text, length) in [(index, text, text.utf8.count), (file, content, size)] {
                    PeerFrameEncoder.encode(
                        .entry(FileEntry(path: path, size: Int64(length), mode: mode)), into: &buffer)
                    PeerFrameEncoder.encode(.bytes(ByteBuffer(string: text)), into: &buffer)
                    PeerFrameEncoder.encode(.fileEnd(nil), into: &buffer)
                }
                PeerFrameEncoder.encode(.end(count: 2), into: &buffer)
                return buffer
            }
            var cut = try frames("abc", of: 3)
            cut.moveWriterIndex(to: cut.writerIndex - 30)
            for (name, body) in [
                ("short", try frames("abc", of: 30)), ("cut", cut),
                ("noise", ByteBuffer(bytes: (0..<500).map { UInt8(truncatingIfNeeded: $0 &* 37) })),
            ] {
                let (parts, committed) = try await commit(name, body)
                #expect(parts >= 400 && committed >= 400, "\(name): \(parts), \(committed)")
                #expect(!exists(name), "\(name)")
            }
            // What would keep a release of PlantDB from opening the database, though it arrives whole.
            for (number, body) in [
                try frames("[]", of: 2, file: "metadata/metadata.json"),
                try frames("7", of: 1, file: "metadata/images/a.json"),
                try frames("null", of: 4, file: "measures.json"),
                try frames("abc", of: 3, index: "{}"), try frames("abc", of: 3, index: "no JSON"),
                try frames(
                    "abc", of: 3, index: Self.index.replacingOccurrences(of: "\"a.jpg\"", with: "null")),
            ].enumerated() {
                for digests in [0, 1] {
                    let name = "closing\(number)\(digests)"
                    let (parts, committed) = try await commit(name, body, digests: digests)
                    #expect(parts == 400 && committed >= 400, "\(name): \(parts), \(committed)")
                    #expect(!exists(name), "\(name)")
                }
            }
            let message = try await commit("message", ByteBuffer(string: "{}"), type: "application/json")
            #expect(message.parts == 400 && message.commit >= 400)
            #expect(try await commit("good", try frames("abc", of: 3, mode: 0o6755)) == (200, 204))
            let mode = try FileManager.default.attributesOfItem(atPath: path + "/good/metadata/x")[
                .posixPermissions]
            #expect(mode as? Int == 0o755)
        }
    }

    @Test("A client that waits to be told that it may send is told at once")
    func expectation() async throws {
        try await serving { client in
            let port = try #require(URL(string: client.base)?.port)
            let form = RestClient.form([.archive(try archive(Self.good))], "b")
            let socket = try await PlainConnection(port: port)
            try await socket.send(
                Array(
                    "POST /archive/new HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: \(form.count)\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
                        .utf8))
            #expect(try await socket.receive().hasPrefix("HTTP/1.1 100"))
            try await socket.send(form)
            #expect(try await socket.receiveAll().contains("HTTP/1.1 200"))
            socket.close()
            #expect(exists("new/files.json"))
        }
    }

    @Test("A thousand connections that send nothing more keep nobody else out")
    func slowHeaders() async throws {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)  // RLIMIT_NOFILE
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(7), &limit)
        try await serving { client in
            let port = try #require(URL(string: client.base)?.port)
            var slow: [PlainConnection] = []
            for _ in 0..<1000 {
                let connection = try await PlainConnection(port: port)
                try await connection.send(Array("GET /scans HTTP/1.1\r\nHost: 127.0".utf8))
                slow.append(connection)
            }
            #expect(try await client.send("GET", "/scans").json() == ["plant_0"])
            #expect(
                try await client.post("/archive/new", form: [.archive(try archive(Self.good))]).status == 200)
            for connection in slow { connection.close() }
        }
    }

    @Test("A request of which half has come keeps no server from stopping, and leaves no lock")
    func stoppingWithHalfARequest() async throws {
        let clock = ContinuousClock()
        let sockets = Mutex<[PlainConnection]>([])
        let asked = Mutex(clock.now)
        try await serving { client in
            let port = try #require(URL(string: client.base)?.port)
            let form = RestClient.form([.archive(try archive(Self.good))], "b")
            let upload = try await PlainConnection(port: port)
            try await upload.send(
                Array(
                    "POST /archive/new HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nContent-Length: \(form.count)\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
                        .utf8) + form.prefix(form.count / 2))
            let head = try await PlainConnection(port: port)
            try await head.send(Array("GET /scans HTTP/1.1\r\nHo".utf8))
            let deadline = clock.now + .seconds(20)
            while !exists("lock"), clock.now < deadline { try await Task.sleep(for: .milliseconds(20)) }
            #expect(exists("lock"))
            sockets.withLock { $0 = [upload, head] }
            asked.withLock { $0 = clock.now }
        }
        #expect(clock.now - asked.withLock { $0 } < .seconds(10))
        for socket in sockets.withLock({ $0 }) { socket.close() }
    }

    @Test("While somebody holds a scan, what changes it waits")
    func lockedScan() async throws {
        try await serving { client in
            let other = try await FSDBEndpoint.open(path: path, .existing)
            let lock = try await other.acquireLock(
                .scan(try ScanID("plant_0")), mode: .exclusive, wait: .zero)
            let waiting = Task {
                try await client.post("/api/v1/scans/plant_0/metadata", json: ["metadata": ["a": 1]]).status
            }
            try await Task.sleep(for: .seconds(1))
            #expect(try !text("plant_0/metadata/metadata.json").contains("\"a\""))
            await lock.release()
            #expect(try await waiting.value == 200)
            #expect(try text("plant_0/metadata/metadata.json").contains("\"a\""))
            await other.close()
        }
    }

    @Test("While a run of plantdb holds the database, an upload waits, and is told in the end")
    func lockedDatabase() async throws {
        try await serving { client in
            let other = try await FSDBEndpoint.open(path: path, .existing)
            let lock = try await other.acquireLock(.database, mode: .exclusive, wait: .zero)
            let waiting = Task {
                try await client.post("/archive/new", form: [.archive(try archive(Self.good))]).status
            }
            try await Task.sleep(for: .seconds(1))
            #expect(!exists("new"))
            await lock.release()
            #expect(try await waiting.value == 200)
            await other.close()
        }
    }
}

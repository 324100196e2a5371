import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

/// Upstream's own Python clients, driven against a server of ours by Clients/*.py.
@Suite(.serialized, .enabled("needs upstream's clients", { await UpstreamRelease.areAllInstalled }))
struct PythonClientTests {
    private let folder: TemporaryDirectory
    private var path: String { folder.appending("db") }
    private var archive: String { folder.appending("scan.zip") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(2, images: 3, seed: 3).write(to: folder.appending("db"))
    }

    /// As upstream's library makes accounts.
    private func makeAccount(_ release: UpstreamRelease, password: String) async throws {
        let script =
            "import json, sys; from argon2 import PasswordHasher; "
            + "print(json.dumps([{'username': 'anna', 'fullname': 'Anna Blume', 'roles': ['contributor'], "
            + "'password_hash': PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4).hash(sys.argv[1]), "
            + "'is_active': True}]))"
        let (status, text) = try await run(release, ["-c", script, password])
        try #require(status == 0, "\(text)")
        try writeFile(path + "/users.json", Array(text.utf8))
    }

    private func run(_ release: UpstreamRelease, _ arguments: [String]) async throws -> (Int32, String) {
        try await runProgram(
            release.python, arguments,
            environment: [
                "PYTHONPATH": UpstreamRelease.stubs, "PYTHONDONTWRITEBYTECODE": "1", "HOME": folder.path,
            ])
    }

    /// - Parameter isOpen: as `--open`, for clients that know no login.
    private func serving(isOpen: Bool, _ body: @Sendable (Int) async throws -> Void) async throws {
        let server = TestRestApiServer(databasePath: path, isOpen: isOpen)
        try await server.start()
        let outcome: Result<Void, any Error>
        do {
            try await body(try #require(server.serverConfig).port)
            outcome = .success(())
        } catch { outcome = .failure(error) }
        try await server.stop()
        try outcome.get()
    }

    private static func script(_ name: String) throws -> String {
        try #require(packageRoot) + "/Tests/InteropTests/Clients/" + name
    }

    /// As a user would: the zip command's layout, by Python.
    private func makeArchive(_ release: UpstreamRelease) async throws {
        let script =
            "import os, sys, zipfile\nz = zipfile.ZipFile(sys.argv[2], 'w', zipfile.ZIP_DEFLATED)\n"
            + "for folder, _, names in os.walk(sys.argv[1]):\n for name in names:\n"
            + "  p = os.path.join(folder, name); z.write(p, os.path.relpath(p, sys.argv[1]))\nz.close()"
        let (status, text) = try await run(release, ["-c", script, path + "/plant_1", archive])
        try #require(status == 0, "\(text)")
    }

    @Test("plantdb.client 0.14.5 lists, queries, downloads, uploads, makes and changes")
    func client014() async throws {
        try await makeArchive(.v014)
        let image = path + "/plant_0/images/00000_rgb.jpg"
        try await serving(isOpen: true) { port in
            let (status, text) = try await run(
                .v014, [try Self.script("client_0_14.py"), String(port), archive, image, folder.path])
            #expect(status == 0, "\(text)")
        }
        #expect(try bytesOnDisk(path + "/made/images/a.jpg") == bytesOnDisk(image))
        #expect(try bytesOnDisk(path + "/sent/files.json") == bytesOnDisk(path + "/plant_1/files.json"))
        #expect(try bytesOnDisk(path + "/sent/00000_rgb.jpg") == bytesOnDisk(image))
        try folder.remove()
    }

    @Test(
        "Later clients send an empty object in place of a file, which does not become the file",
        arguments: [UpstreamRelease.v015, .v016, .v017])
    func uploads(_ release: UpstreamRelease) async throws {
        // One that is there, one that is not, and metadata, which an empty object would pass for.
        for name in ["files.json", "new.txt", "measures.json"] {
            let file = folder.appending(name)
            try writeFile(file, Array("content".utf8))
            let before = try treeSnapshot(path).without(".plantdb-sync")
            try await serving(isOpen: true) { port in
                let (status, text) = try await run(
                    release, [try Self.script("client_upload.py"), String(port), file])
                #expect(status == 0, "\(text)")
            }
            #expect(try treeSnapshot(path).without(".plantdb-sync") == before)
        }
        try folder.remove()
    }

    @Test("plantdb.client 0.17.0 does so with a login, renews it, makes tokens for programs, and logs out")
    func client017() async throws {
        try await makeArchive(.v017)
        try await makeAccount(.v017, password: "correct horse")
        let image = path + "/plant_0/images/00000_rgb.jpg"
        try await serving(isOpen: false) { port in
            let (status, text) = try await run(
                .v017,
                [
                    try Self.script("client_0_17.py"), String(port), archive, image, folder.path,
                    "correct horse",
                ])
            #expect(status == 0, "\(text)")
        }
        #expect(try bytesOnDisk(path + "/made/images/a.jpg") == bytesOnDisk(image))
        try folder.remove()
    }
}

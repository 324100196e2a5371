import PlantDBCore
import PlantDBTesting
import Testing

extension UpstreamTests {
    /// The commonest way of working: a scanner, a nightly sync, and a pipeline at the target.
    @Suite struct Nights {
        let temporary: TemporaryDirectory
        let shop: Workshop

        init() throws {
            temporary = try TemporaryDirectory()
            shop = Workshop(folder: temporary.path)
        }

        enum Target: String, CaseIterable {
            case folder, ssh, server

            static let reachable = allCases.filter { $0 != .ssh || SSHServer.isAvailable }
        }

        /// As `plantdb sync` is told of it.
        private struct Reached {
            var location: String
            var options: [String] = []
            var sshd: SSHServer?
            var server: TestRestApiServer?
        }

        private func reach(_ target: Target, _ path: String) async throws -> Reached {
            switch target {
            case .folder: return Reached(location: path)
            case .ssh:
                let sshd = try SSHServer()
                return Reached(
                    location: "ssh://\(sshd.user)@127.0.0.1:\(sshd.port)\(path)",
                    options: ["--identity", sshd.identity]
                        + sshd.sshOptions.flatMap { ["--ssh-option", $0] }, sshd: sshd)
            case .server:
                let server = TestRestApiServer(databasePath: path)
                try await server.start()
                return Reached(location: try #require(server.baseURL), server: server)
            }
        }

        @Test(
            "Two nights with a pipeline at the target lose nothing, and the nights after are idle",
            arguments: UpstreamLibrary.tested, Target.reachable)
        func twoNights(library: UpstreamLibrary, kind: Target) async throws {
            let (source, target) = (shop("source"), shop("target"))
            for path in [source, target] {
                let made = try await Product.run("init", path, folder: shop.folder)
                try #require(made.status == 0, "\(made.errors)")
            }
            _ = try await shop.run(.create, [source], with: library)
            let reached = try await reach(kind, target)
            func sync() async throws -> ChildProcess.Ended {
                try await ChildProcess.run(
                    Product.directory + "/plantdb",
                    ["sync", "-i", source, reached.location] + reached.options,
                    folder: shop.folder)
            }
            let first = try await sync()
            #expect(first.status == 0, "\(first.errors)")

            // The first night.
            _ = try await shop.run(.work, [target, "compute"], with: library)
            _ = try await shop.run(.work, [source, "acquire"], with: library)
            let night = try await sync()
            // The correction is told, once.
            #expect(night.status == 4, "\(night.errors)\(night.output)")
            #expect(night.output.contains("! plant_a/metadata/metadata.json"))
            let after = try await shop.upstreamListing(of: target, with: library)
            for line in [
                "plant_a metadata genotype = \"corrected\"", "plant_a filesets",
            ] { #expect(after.lines.contains { $0.hasPrefix(line) }, "\(line) is not in \(after.lines)") }
            let names = after.lines.joined(separator: "\n")
            #expect(names.contains("Mesh_1") && names.contains("late_rgb"))

            // The night after is idle, though upstream has written into what it opened.
            let idle = try await sync()
            #expect(idle.status == 0, "\(idle.errors)\(idle.output)")
            #expect(idle.errors.contains("0 moved"), "\(idle.errors)\(idle.output)")

            // A second round, the other way about.
            let database = try await Product.run("check", target, folder: shop.folder)
            #expect(database.output.contains("opens in PlantDB: 0.14, 0.15, 0.16+"), "\(database.output)")
            try await reached.server?.stop()
            reached.sshd?.stop()
        }
    }
}

import Glibc
import PlantDBCore
import PlantDBTesting
import Testing

extension Faults {
    /// F24: more connections than the process may have descriptors. I11.
    @Suite("F24: descriptors", .serialized) struct DescriptorTests {
        /// Opens connections, asks on some of them again and again, and then asks once as anybody would.
        private static let attack = """
            import http.client, resource, socket, sys
            port, count = int(sys.argv[1]), int(sys.argv[2])
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 200)), hard))
            held = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(count)]
            request = b"GET /scans_info HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n"
            for round in range(40):
                for connection in held[:60]:
                    try: connection.sendall(request)
                    except OSError: pass
                for connection in held[:60]:
                    connection.settimeout(0.02)
                    try: connection.recv(1 << 16)
                    except OSError: pass
            other = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            other.request("GET", "/scans")
            print(other.getresponse().status)
            """

        @Test(
            "F24: a server whose descriptors run out goes on, and answers others",
            .enabled("needs python3", { Machine.hasPython }), arguments: [256, 512])
        func exhaustion(_ limit: Int) async throws {
            let folder = try TemporaryDirectory()
            let database = folder.appending("db")
            try SampleDatabase.plants(2, images: 2, seed: 1).write(to: database)
            let server = try Child([
                "/bin/bash", "-c", "ulimit -n \(limit) && exec \"$0\" serve \"$1\" --port 0", Command.path,
                database,
            ])
            var port: Int?
            for _ in 0..<1000 where port == nil {
                try await pause(milliseconds: 20)
                let line = try server.outputSoFar().split(separator: "\n").first { $0.contains("serving ") }
                port = line?.split(separator: ":").last.flatMap { Int($0) }
            }
            let script = folder.appending("attack.py")
            try writeFile(script, Array(Self.attack.utf8))
            let attack = try await Child(["python3", script, "\(try #require(port))", "1000"]).ending()
            #expect(attack.code == 0 && attack.output == "200\n", "\(attack)")
            server.send(SIGTERM)
            let ending = try await server.ending()
            #expect(ending.code == 0, "\(ending)")
        }
    }
}

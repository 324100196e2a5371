import Foundation
import Glibc
import PlantDBTesting
import Testing

@testable import SFTPClient

/// ssh(1) and a real sshd between.
@Suite(
    .serialized, .timeLimit(.minutes(2)),
    .enabled(if: SSHServer.isAvailable, "SSH NOT TESTED: sshd is missing"))
struct OpenSSHTests {
    static func destination(_ server: SSHServer) throws -> SSHDestination {
        var destination = try SSHDestination(host: "127.0.0.1", user: server.user, port: server.port)
        destination.options = server.sshOptions
        destination.identity = server.identity
        return destination
    }

    /// What opening a session throws.
    private static func failure(
        _ destination: SSHDestination, limit: Duration = .seconds(60)
    ) async -> SFTPError? {
        do throws(SFTPError) {
            var configuration = SFTPSession.Configuration()
            configuration.handshakeLimit = limit
            let session = try await SFTPSession.open(
                over: OpenSSHChannel.start(destination), configuration: configuration)
            await session.close()
            return nil
        } catch { return error }
    }

    @Test("A session over ssh reads a directory, with both kinds of server")
    func session() async throws {
        let folder = try TemporaryDirectory()
        try writeFile(folder.appending("a"), [1])
        for sftp in ["internal-sftp", ServerProcess.path ?? "internal-sftp"] {
            let server = try SSHServer(sftp: sftp)
            let session = try await SFTPSession.open(over: OpenSSHChannel.start(Self.destination(server)))
            #expect(session.server.extensions.contains(.posixRename))
            #expect(session.server.readBytes(upTo: 64 << 10) == 64 << 10)
            let entries = try await session.entries(ofDirectory: RemotePath(folder.path))
            #expect(entries.map(\.bytes) == [Array("a".utf8)])
            await session.close()
            server.stop()
        }
        try folder.remove()
    }

    @Test("A remote command gets its input, and its status and output come back") func command() async throws
    {
        let server = try SSHServer()
        let command = try RemoteCommand(Self.destination(server))
        let input = [UInt8](repeating: 65, count: 3_000_000)
        let outcome = try await command.run(
            "cat; echo oops >&2; exit 3", input: input, outputLimit: 4_000_000)
        #expect(outcome.status == 3 && outcome.output == input && outcome.complaints.contains("oops"))
        do throws(SFTPError) {
            _ = try await command.run("cat /dev/zero", input: [], outputLimit: 1000)
            Issue.record("it was taken")
        } catch { #expect(error.code == .protocolViolation) }
        server.stop()
    }

    @Test("Host keys: unknown, accepted once, and changed") func hostKeys() async throws {
        let folder = try TemporaryDirectory()
        let server = try SSHServer()
        let known = folder.appending("known")
        var destination = try Self.destination(server)
        destination.options.insert("UserKnownHostsFile=\(known)", at: 0)
        #expect(await Self.failure(destination)?.code == .hostKey)
        #expect(access(known, F_OK) != 0)
        destination.acceptsNewHostKey = true
        #expect(await Self.failure(destination) == nil)
        // It was kept: now it is known.
        destination.acceptsNewHostKey = false
        #expect(await Self.failure(destination) == nil)
        // Another server's key under this server's name.
        let key = try String(decoding: bytesOnDisk(server.identity + ".pub"), as: UTF8.self)
        try writeFile(known, Array("[127.0.0.1]:\(server.port) \(key)".utf8))
        for accepts in [false, true] {
            destination.acceptsNewHostKey = accepts
            let error = await Self.failure(destination)
            #expect(
                error?.code == .hostKey && error?.message.contains("not the known one") == true, "\(accepts)")
        }
        server.stop()
        try folder.remove()
    }

    @Test("What keeps ssh from a session is told by its kind") func failures() async throws {
        let server = try SSHServer()
        var destination = try Self.destination(server)
        let stranger = try SSHServer()
        destination.identity = stranger.identity
        #expect(await Self.failure(destination)?.code == .authentication)
        destination = try Self.destination(server)
        destination.options.insert("NoSuchOption=1", at: 0)
        #expect(await Self.failure(destination)?.code == .invalidArgument)
        stranger.stop()
        var gone = try SSHDestination(host: "127.0.0.1", port: stranger.port)
        gone.options = stranger.sshOptions
        #expect(await Self.failure(gone)?.code == .unreachable)
        let nowhere = try SSHDestination(host: "no-such-host.invalid")
        #expect(await Self.failure(nowhere, limit: .seconds(20))?.code == .unreachable)
        server.stop()
        let poor = try SSHServer(sftp: nil)
        #expect(try await Self.failure(Self.destination(poor))?.code == .noSubsystem)
        poor.stop()
        let talkative = try SSHServer(sftp: "echo Welcome to the scanner; exec cat")
        #expect(try await Self.failure(Self.destination(talkative))?.code == .protocolViolation)
        talkative.stop()
    }

    @Test("A port where nobody answers is unreachable after the limit") func silence() async throws {
        let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, size)
                listen(listener, 4)
                getsockname(listener, address, &size)
            }
        }
        let destination = try SSHDestination(host: "127.0.0.1", port: UInt16(bigEndian: address.sin_port))
        let begin = ContinuousClock.now
        let error = await Self.failure(destination, limit: .milliseconds(300))
        #expect(error?.code == .unreachable, "\(error as Any)")
        #expect(ContinuousClock.now - begin < .seconds(8))
    }

    @Test(
        "A server that is killed behind ssh is a lost connection",
        .enabled(if: ServerProcess.path != nil, "SFTP NOT TESTED: sftp-server is missing"))
    func killed() async throws {
        let folder = try TemporaryDirectory()
        let file = folder.appending("pid")
        let server = try SSHServer(sftp: "echo $$ > \(file) && exec \(ServerProcess.path ?? "")")
        let session = try await SFTPSession.open(over: OpenSSHChannel.start(Self.destination(server)))
        let text = try String(decoding: bytesOnDisk(file), as: UTF8.self).filter(\.isNumber)
        let process = try #require(pid_t(text))
        let sink = CountingSink(
            (0..<3).map { DownloadItem(index: $0, path: "/dev/zero", size: 1 << 40) },
            folder.appending("down"))
        async let end: Void = {
            // Nobody cancels it.
            try? await Task.sleep(for: .milliseconds(150))
            kill(process, SIGKILL)
        }()
        do throws(SFTPError) {
            try await session.download(to: sink)
            Issue.record("it came to its end")
        } catch { #expect(error.code == .connectionLost, "\(error)") }
        await end
        // The first has more to be asked for than is kept from other sessions.
        #expect(sink.taken == [0] && sink.told.values.allSatisfy { $0 == [.failed(.connectionLost)] })
        await session.close()
        server.stop()
        try folder.remove()
    }
}

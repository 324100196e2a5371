import CPlatform
import Foundation
import Glibc
import PlantDBTesting
import Testing

@testable import SFTPClient

/// Whether this process may look into its children; not every container allows it.
private let mayLook: Bool = {
    do throws(SFTPError) {
        let child = try ChildProcess("cat", [], usesTerminal: false)
        let process = plantdb_open_process(child.process)
        let copy = plantdb_copy_descriptor(process, 0)
        for descriptor in [copy, process] where descriptor >= 0 { close(descriptor) }
        child.closeInput()
        _ = child.end()
        child.release()
        return copy >= 0
    } catch { return false }
}()

/// What is done to the socket of a child that logs in. That of another process is looked at as it is
/// changed: by pidfd_getfd(2).
@Suite(
    .serialized, .timeLimit(.minutes(1)),
    .enabled(if: mayLook, "LOGIN NOT TESTED: pidfd_getfd is not allowed here"))
struct LoginPausesTests {
    /// A child with a connection to this process, and this process's end of it.
    private struct Connected {
        let child: ChildProcess
        let accepted: CInt

        init() throws {
            let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
            defer { close(listener) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let port = try withUnsafeMutablePointer(to: &address) { pointer in
                try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                    try #require(bind(listener, pointer, size) == 0 && listen(listener, 1) == 0)
                    try #require(getsockname(listener, pointer, &size) == 0)
                }
                return UInt16(bigEndian: pointer.pointee.sin_port)
            }
            child = try ChildProcess(
                "bash", ["-c", "exec 3<>/dev/tcp/127.0.0.1/\(port); exec cat"], usesTerminal: false)
            accepted = accept(listener, nil, nil)
            try #require(accepted >= 0)
        }

        /// Of the child's end.
        var isWithoutDelay: Bool {
            let process = plantdb_open_process(child.process)
            defer { close(process) }
            let copy = plantdb_copy_descriptor(process, 3)
            defer { close(copy) }
            var value: CInt = 0
            var size = socklen_t(MemoryLayout<CInt>.size)
            return getsockopt(copy, CInt(IPPROTO_TCP), TCP_NODELAY, &value, &size) == 0 && value != 0
        }

        func end() {
            child.closeInput()
            _ = child.end()
            child.release()
            close(accepted)
        }
    }

    /// Descriptors of this process that stand for the child (proc(5), `fdinfo`).
    private static func standIns(for process: pid_t) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fdinfo").count { name in
            // It may be closed by now, as those of other tests are.
            let text = try? String(contentsOfFile: "/proc/self/fdinfo/" + name, encoding: .utf8)
            return text?.split(separator: "\n").contains("Pid:\t\(process)") == true
        }
    }

    @Test("The socket of a child that logs in holds nothing back")
    func delay() async throws {
        let connected = try Connected()
        defer { connected.end() }
        #expect(!connected.isWithoutDelay)
        let pauses = LoginPauses(of: connected.child.process)
        while !connected.isWithoutDelay { try await Task.sleep(for: .milliseconds(5)) }
        pauses.end()
    }

    @Test("What the child closes is closed, and nothing stays open here")
    func closing() async throws {
        let connected = try Connected()
        let pauses = LoginPauses(of: connected.child.process)
        while !connected.isWithoutDelay { try await Task.sleep(for: .milliseconds(5)) }
        #expect(try Self.standIns(for: connected.child.process) == 1)
        connected.child.closeInput()
        // The end of the connection, which somebody who held it open would keep from coming.
        var byte: UInt8 = 0
        #expect(read(connected.accepted, &byte, 1) == 0)
        pauses.end()
        while try Self.standIns(for: connected.child.process) > 0 {
            try await Task.sleep(for: .milliseconds(5))
        }
        connected.end()
    }
}

import Dispatch
import Foundation
import Glibc
import PlantDBCore
import PlantDBTesting

/// The built command, run as its users run it, with its output in files.
final class CommandRun: Sendable {
    /// `plantdb` beside the test bundle.
    static let path = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appendingPathComponent("plantdb").path
    static let isBuilt = access(path, X_OK) == 0

    struct Failure: Error { var message: String }

    struct Ending: Sendable, CustomStringConvertible {
        /// nil: it was ended by a signal.
        var code: CInt?
        var isHung: Bool
        var seconds: Double
        var output: String
        var errors: String

        var description: String {
            "\(isHung ? "hung" : code.map { "exit \($0)" } ?? "killed") after \(seconds) s: "
                + "\(errors.suffix(500)) \(output.suffix(300))"
        }

        /// Of the last event of `--json`; nil: it never came.
        func total(_ name: String) -> Int? {
            guard let line = output.split(separator: "\n").last else { return nil }
            // No JSON: no total.
            return (try? JSONValue(parsing: Array(line.utf8)))?["totals"]?[name]?.int
        }
    }

    let process: pid_t
    private let folder: TemporaryDirectory
    private let start = ContinuousClock.now

    /// - Parameter cache: instead of the user's, where runs are to share one.
    init(_ arguments: [String], program: String = path, cache: String? = nil) throws {
        folder = try TemporaryDirectory()
        let path = folder.path
        let environment = [
            "PATH": getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
            "HOME": path, "XDG_CACHE_HOME": cache ?? path + "/cache", "SWIFT_BACKTRACE": "enable=no",
        ]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, path + "/out", O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_addopen(&actions, 2, path + "/err", O_WRONLY | O_CREAT | O_APPEND, 0o644)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A session of its own: no terminal that ssh could ask at (POSIX_SPAWN_SETSID).
        posix_spawnattr_setflags(&attributes, 0x80)
        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var pid: pid_t = 0
        let failure = posix_spawn(&pid, program, &actions, &attributes, &argv, &envp)
        guard failure == 0 else {
            throw Failure(message: "cannot start \(program): \(String(cString: strerror(failure)))")
        }
        process = pid
    }

    static func run(
        _ arguments: [String], cache: String? = nil, within limit: Duration = .seconds(120)
    ) async throws -> Ending {
        try await CommandRun(arguments, cache: cache).ending(within: limit)
    }

    /// A program of the system, which must succeed.
    static func system(_ arguments: String...) async throws {
        for folder in ["/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"]
        where access(folder + arguments[0], X_OK) == 0 {
            let ending = try await CommandRun(Array(arguments.dropFirst()), program: folder + arguments[0])
                .ending()
            guard ending.code == 0 else { throw Failure(message: "\(arguments): \(ending)") }
            return
        }
        throw Failure(message: "there is no \(arguments[0])")
    }

    func outputSoFar() throws -> String {
        String(decoding: try bytesOnDisk(folder.path + "/out"), as: UTF8.self)
    }

    /// Waits for its end; kills it after `limit`. Once only.
    func ending(within limit: Duration = .seconds(120)) async throws -> Ending {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: self.wait(limit)) }
        }
    }

    private func wait(_ limit: Duration) -> Ending {
        let deadline = ContinuousClock.now + limit
        var status: CInt = 0
        var isHung = false
        while true {
            let result = waitpid(process, &status, isHung ? 0 : WNOHANG)
            if result == process || result < 0 && errno != EINTR { break }
            if !isHung, ContinuousClock.now > deadline {
                isHung = true
                kill(process, SIGKILL)
            }
            usleep(2000)
        }
        func text(_ name: String) -> String {
            // Missing where it could not even be opened.
            (try? bytesOnDisk(folder.path + "/" + name)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        // WIFEXITED and WEXITSTATUS, macros that Swift does not import.
        return Ending(
            code: status & 0x7f == 0 ? (status >> 8) & 0xff : nil, isHung: isHung,
            seconds: (ContinuousClock.now - start) / .seconds(1), output: text("out"), errors: text("err"))
    }
}

/// What proc(5) tells of other processes. What ends while it is looked at is left out.
enum Processes {
    static var all: [pid_t] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }
    }

    static func text(_ process: pid_t, _ name: String) -> String {
        let bytes = (try? bytesOnDisk("/proc/\(process)/\(name)")) ?? []
        return String(decoding: bytes.map { $0 == 0 ? 32 : $0 }, as: UTF8.self)
    }

    /// `PPid` of proc(5).
    static func parent(of process: pid_t) -> pid_t? {
        text(process, "status").split(separator: "\n").first { $0.hasPrefix("PPid:") }
            .flatMap { $0.split(whereSeparator: \.isWhitespace).last }.flatMap { pid_t($0) }
    }

    static func children(of process: pid_t) -> [pid_t] { all.filter { parent(of: $0) == process } }

    static func program(of process: pid_t) -> String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/exe")) ?? ""
    }
}

/// How deep to go: `PLANTDB_SOAK=1` asks for all of it.
enum Depth {
    static let isSoak = getenv("PLANTDB_SOAK").map { String(cString: $0) } == "1"

    static func rounds(_ plain: Int, soak: Int) -> Int { isSoak ? soak : plain }
}

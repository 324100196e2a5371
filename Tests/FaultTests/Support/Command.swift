import Dispatch
import Glibc
import PlantDBCore
import PlantDBTesting

/// How a child process ended.
struct Ending: Sendable, CustomStringConvertible {
    enum How: Sendable, Equatable {
        case exit(Int32)
        case signal(Int32)
        /// Killed by us, since it would not end.
        case hung
    }

    var how: How
    /// Peak resident memory, in KiB. (Not `ru_maxrss`, which counts the process that spawned it
    /// as well.)
    var peakKilobytes: Int
    var seconds: Double
    var output: String
    var errors: String

    var code: Int32? { if case .exit(let code) = how { code } else { nil } }
    var description: String { "\(how): \(errors.suffix(600)) \(output.suffix(200))" }

    /// The last event of `--json`.
    var summary: JSONValue? {
        guard let line = output.split(separator: "\n").last else { return nil }
        // No JSON: no summary.
        return try? JSONValue(parsing: Array(line.utf8))
    }

    func total(_ name: String) -> Int? { summary?["totals"]?[name]?.int }

    /// The scans that were said to be published.
    var publishedScans: Set<String> { Ending.publishedScans(in: output) }

    static func publishedScans(in output: String) -> Set<String> {
        var result: Set<String> = []
        for line in output.split(separator: "\n") where line.contains("\"scanFinished\"") {
            // The last line may be cut in the middle.
            guard let event = try? JSONValue(parsing: Array(line.utf8)),
                let outcome = event["outcome"]?.string, ["created", "updated", "removed"].contains(outcome),
                let scan = event["scan"]?.string
            else { continue }
            result.insert(scan)
        }
        return result
    }
}

struct SpawnFailure: Error { var message: String }

/// A child process with its output in files, so that no pipe can fill up.
final class Child: Sendable {
    let process: pid_t
    private let folder: TemporaryDirectory
    private let start = ContinuousClock.now
    private let measuresMemory: Bool

    /// - Parameters:
    ///   - standardOutput: a descriptor for its stdout in place of a file.
    ///   - measuresMemory: looks at its memory every millisecond.
    init(
        _ arguments: [String], environment extra: [String: String] = [:], standardOutput: CInt? = nil,
        measuresMemory: Bool = false
    ) throws {
        self.measuresMemory = measuresMemory
        folder = try TemporaryDirectory()
        let path = folder.path
        guard let program = arguments.first.flatMap({ $0.hasPrefix("/") ? $0 : Machine.path(of: $0) }) else {
            throw SpawnFailure(message: "no program \(arguments.first ?? "")")
        }
        var environment = [
            "PLANTDB_STATE": "",
            "PATH": getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
            "HOME": path + "/home", "XDG_CACHE_HOME": path + "/cache", "SWIFT_BACKTRACE": "enable=no",
        ]
        environment.merge(extra) { $1 }
        guard mkdir(path + "/home", 0o755) == 0 else { throw SpawnFailure(message: "mkdir home") }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if let standardOutput {
            posix_spawn_file_actions_adddup2(&actions, standardOutput, 1)
        } else {
            posix_spawn_file_actions_addopen(&actions, 1, path + "/out", O_WRONLY | O_CREAT | O_APPEND, 0o644)
        }
        posix_spawn_file_actions_addopen(&actions, 2, path + "/err", O_WRONLY | O_CREAT | O_APPEND, 0o644)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { sigaddset(&defaults, signal) }
        var mask = sigset_t()
        sigemptyset(&mask)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setsigmask(&attributes, &mask)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        var argv: [UnsafeMutablePointer<CChar>?] =
            ([program] + arguments.dropFirst()).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, program, &actions, &attributes, &argv, &envp)
        guard result == 0 else {
            throw SpawnFailure(message: "\(program): \(String(cString: strerror(result)))")
        }
        process = pid
    }

    /// What it has said so far.
    func outputSoFar() throws -> String {
        let path = folder.path + "/out"
        return access(path, R_OK) == 0 ? String(decoding: try bytesOnDisk(path), as: UTF8.self) : ""
    }

    func send(_ signal: CInt) { kill(process, signal) }

    /// `VmHWM` of proc(5); nil once it has ended.
    private func peakSoFar() -> Int? {
        // It may end while it is looked at.
        guard let status = try? bytesOnDisk("/proc/\(process)/status") else { return nil }
        let line = String(decoding: status, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix("VmHWM:") }
        return line?.split { $0 == " " || $0 == "\t" }.dropFirst().first.flatMap { Int($0) }
    }

    /// Waits for its end; kills its process group after `limit`. Once only.
    func ending(within limit: Duration = .seconds(120)) async throws -> Ending {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: self.wait(limit)) }
        } as Ending
    }

    /// As ``ending(within:)``, blocking.
    func wait(_ limit: Duration = .seconds(120)) -> Ending {
        let deadline = ContinuousClock.now + limit
        var status: CInt = 0
        var peakKilobytes = 0
        var isHung = false
        while true {
            if measuresMemory { peakKilobytes = max(peakKilobytes, peakSoFar() ?? 0) }
            let result = waitpid(process, &status, isHung ? 0 : WNOHANG)
            if result == process { break }
            if result < 0 && errno != EINTR { break }
            if ContinuousClock.now > deadline {
                isHung = true
                kill(-process, SIGKILL)
                kill(process, SIGKILL)
                continue
            }
            usleep(1000)
        }
        // WIFEXITED and its kin, macros that Swift does not import.
        let how: Ending.How =
            isHung ? .hung : status & 0x7f == 0 ? .exit((status >> 8) & 0xff) : .signal(status & 0x7f)
        func text(_ name: String) -> String {
            // Missing where nothing was said.
            (try? bytesOnDisk(folder.path + "/" + name)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        return Ending(
            how: how, peakKilobytes: peakKilobytes,
            seconds: (ContinuousClock.now - start) / .seconds(1),
            output: text("out"), errors: text("err"))
    }
}

/// The built command.
enum Command {
    /// `plantdb` beside the test bundle.
    static let path: String = {
        var buffer = [CChar](repeating: 0, count: 4097)
        let count = readlink("/proc/self/exe", &buffer, 4096)
        let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = own.split(separator: "/").dropLast().joined(separator: "/")
        let beside = "/\(folder)/plantdb"
        if access(beside, X_OK) == 0 { return beside }
        return (packageRoot ?? ".") + "/.build/debug/plantdb"
    }()

    static func start(_ arguments: [String], environment: [String: String] = [:]) throws -> Child {
        try Child([path] + arguments, environment: environment)
    }

    static func run(_ arguments: String..., environment: [String: String] = [:]) async throws -> Ending {
        try await start(arguments, environment: environment).ending()
    }

    static func run(_ arguments: [String], environment: [String: String] = [:]) async throws -> Ending {
        try await start(arguments, environment: environment).ending()
    }

    /// Runs it under strace(1), which follows all threads. (Not with --seccomp-bpf: strace 6.1
    /// drops injected signals then, without a word.)
    static func traced(_ options: [String], _ arguments: [String]) async throws -> Ending {
        try await startTraced(options, arguments).ending()
    }

    /// As ``traced(_:_:)``; the child's process is the command's own, strace is its grandchild.
    static func startTraced(
        _ options: [String], _ arguments: [String], standardOutput: CInt? = nil
    ) throws -> Child {
        try Child(
            ["strace", "-D", "-f", "-qq"] + options + ["--", path] + arguments, standardOutput: standardOutput
        )
    }

    /// How often one thread of a run makes each of some system calls, the busiest thread counted:
    /// strace counts `when=` by thread.
    static func count(_ calls: [String], _ arguments: [String]) async throws -> [String: Int] {
        let folder = try TemporaryDirectory()
        let file = folder.appending("trace")
        let ending = try await traced(
            ["-e", "trace=" + calls.joined(separator: ","), "-o", file], arguments)
        guard ending.code == 0 else { throw SpawnFailure(message: "the counting run: \(ending)") }
        var counts: [String: [Substring: Int]] = [:]
        for line in String(decoding: try bytesOnDisk(file), as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2 else { continue }
            let call = words[1].drop { $0 == " " }.prefix { $0 != "(" }
            counts[String(call), default: [:]][words[0], default: 0] += 1
        }
        return counts.compactMapValues { $0.values.max() }
    }
}

/// Runs a program of the system that must succeed.
@discardableResult
func shell(_ arguments: String...) throws -> Ending {
    let ending = try Child(arguments).wait()
    guard ending.code == 0 else { throw SpawnFailure(message: "\(arguments): \(ending)") }
    return ending
}

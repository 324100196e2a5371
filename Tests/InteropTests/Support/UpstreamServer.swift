import Foundation
import Glibc
import PlantDBClient
import PlantDBCore
import PlantDBTesting
import Testing

/// A release of PlantDB whose own REST server the tests run.
enum UpstreamRelease: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case v014 = "0.14.5"
    case v015 = "0.15.1"
    case v016 = "0.16.2"
    case v017 = "0.17.0"

    /// The oldest and the newest; `PLANTDB_INTEROP=all` asks for those between them too.
    static let tested: [Self] =
        ProcessInfo.processInfo.environment["PLANTDB_INTEROP"] == "all" ? allCases : [.v014, .v017]

    var testDescription: String { "plantdb.server \(rawValue)" }
    var needsLogin: Bool { self != .v014 }
    /// Whether it can be given other content for a file that it has.
    var replacesFiles: Bool { self == .v014 || self == .v015 }

    /// What the server imports when it starts, and the clients; the rest is large and needless here.
    private var requirements: [String] {
        let all = [
            "flask", "flask-cors", "flask-restful", "requests", "toml", "colorlog", "tqdm", "pillow",
            "bcrypt", "numpy",
            // Of the clients.
            "plyfile", "ada-url",
        ]
        return self == .v014
            ? all
            : all + ["argon2-cffi", "PyJWT>=2.6", "send2trash", "click", "click-option-group", "pybase64"]
    }

    private static let environments = (packageRoot ?? ".") + "/.build/upstream-servers"
    private var directory: String { Self.environments + "/" + rawValue }
    var python: String { directory + "/bin/python" }
    /// What the environment holds of `open3d`, which is large, and is asked for at the start only.
    static let stubs = environments + "/stubs"

    // MARK: Installation

    /// Whether all of ``tested`` are installed; the first call installs them, half a minute each.
    ///
    /// What prevents it (no Python, no network) is said on stderr, once.
    static var areInstalled: Bool {
        get async { await installation.value }
    }

    /// The same of all releases, whose clients are tested.
    static var areAllInstalled: Bool {
        get async { await fullInstallation.value }
    }

    private static let installation = installation(of: tested)
    private static let fullInstallation = installation(of: allCases)

    private static func installation(of releases: [Self]) -> Task<Bool, Never> {
        Task.detached {
            await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    do {
                        try install(releases)
                        continuation.resume(returning: true)
                    } catch {
                        say(
                            "WARNING: the tests against upstream's own servers and clients are SKIPPED: \(error)\n"
                                + "They need python3 (3.10 or later, with its venv module) and, once, a package index."
                        )
                        continuation.resume(returning: false)
                    }
                }
            }
        }
    }

    private static func install(_ releases: [Self]) throws {
        try FileManager.default.createDirectory(atPath: stubs, withIntermediateDirectories: true)
        try Data().write(to: URL(fileURLWithPath: stubs + "/open3d.py"))
        // One test process installs, the others wait for it and find it done.
        let lock = open(environments + "/install.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0, flock(lock, LOCK_EX) == 0 else { throw Trouble("cannot lock \(environments)") }
        defer { close(lock) }
        for release in releases { try release.install() }
    }

    /// A marker, written last, tells a complete environment and what it holds.
    private func install() throws {
        let marker = directory + "/complete"
        let packages = ["commons", "server", "client"].map { "plantdb.\($0)==\(rawValue)" }
        let content = Data((requirements + packages).joined(separator: "\n").utf8)
        if FileManager.default.contents(atPath: marker) == content,
            FileManager.default.isExecutableFile(atPath: python)
        {
            return
        }
        Self.say("installing the server of PlantDB \(rawValue) into \(directory) …")
        try removeTree(directory)
        try run("python3", ["-m", "venv", directory])
        let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-input"]
        try run(python, pip + requirements)
        // 0.17 names Pythons below 3.13 only, and runs on later ones.
        try run(python, pip + ["--no-deps", "--ignore-requires-python"] + packages)
        try content.write(to: URL(fileURLWithPath: marker))
    }

    private func run(_ program: String, _ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Trouble("“\(program) \(arguments.joined(separator: " "))”: \(text.suffix(2000))")
        }
    }

    private static func say(_ text: String) {
        FileHandle.standardError.write(Data("InteropTests: \(text)\n".utf8))
    }
}

/// A test's own tools do not work.
struct Trouble: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// One of upstream's servers at work, on a free port of this machine, until it is stopped. Its
/// limits begin anew with each.
final class UpstreamServer: Sendable {
    let release: UpstreamRelease
    let url: String
    let logFile: String
    private let process: Process

    /// - Throws: with its log if it ends, or does not answer within half a minute.
    init(_ release: UpstreamRelease, database: String, folder: TemporaryDirectory) async throws {
        self.release = release
        let port = try freePort()
        url = "http://127.0.0.1:\(port)"
        logFile = folder.appending("server-\(release.rawValue)-\(port).log")
        guard FileManager.default.createFile(atPath: logFile, contents: nil),
            let output = FileHandle(forWritingAtPath: logFile)
        else { throw Trouble("cannot write \(logFile)") }
        process = Process()
        process.executableURL = URL(fileURLWithPath: release.python)
        process.arguments = [
            "-c", "from plantdb.server.cli.fsdb_rest_api import main; main()", "-db", database, "--port",
            String(port), "--host", "127.0.0.1",
        ]
        process.environment = ProcessInfo.processInfo.environment.merging([
            "PYTHONPATH": UpstreamRelease.stubs, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": folder.path,
            "XDG_CACHE_HOME": folder.appending("cache"),
        ]) { _, new in new }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        try process.run()
        for _ in 0..<300 where process.isRunning {
            do throws(DatabaseError) {
                await (try await PlantDBRestClient(HTTPAccess(try ServerAddress(url)))).close()
                return
            } catch {
                guard error.code == .unreachable else { throw error }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
        throw Trouble("the server of \(release.rawValue) does not answer: \(log(last: 3000))")
    }

    func log(last count: Int) -> String {
        String(decoding: FileManager.default.contents(atPath: logFile) ?? Data(), as: UTF8.self).suffix(count)
            .description
    }

    func stop() {
        guard process.isRunning else { return }
        // Not asked to end: it inherits from the tests that it does not listen.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    deinit { stop() }
}

/// Free a moment ago.
func freePort() throws -> UInt16 {
    let probe = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    defer { close(probe) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(probe, $0, size) == 0 && getsockname(probe, $0, &size) == 0
        }
    }
    guard isBound else { throw Trouble("no free port") }
    return UInt16(bigEndian: address.sin_port)
}

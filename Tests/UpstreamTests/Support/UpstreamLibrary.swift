import Foundation
import Glibc
import PlantDBTesting
import Testing

/// A release of upstream's Python library that the tests run.
enum UpstreamLibrary: String, CaseIterable, Sendable, CustomTestStringConvertible {
    /// Locks the whole database, and accepts nearly everything in it.
    case v014 = "0.14.5"
    /// Locks single scans.
    case v015 = "0.15.1"
    /// Is strict about what lies in a database.
    case v016 = "0.16.2"
    case v017 = "0.17.0"

    /// The oldest and the newest; `PLANTDB_SOAK=1` asks for those between them too.
    static let tested: [Self] =
        ProcessInfo.processInfo.environment["PLANTDB_SOAK"] == "1" ? allCases : [.v014, .v017]

    var testDescription: String { "plantdb.commons \(rawValue)" }

    /// What `plantdb check` calls it.
    var generation: String {
        switch self {
        case .v014: "0.14"
        case .v015: "0.15"
        case .v016, .v017: "0.16+"
        }
    }

    /// The few packages that its loader imports; the library itself is installed without the
    /// rest, which is large and needless here.
    private var requirements: [String] {
        switch self {
        case .v014: ["colorlog", "tqdm", "pillow", "bcrypt"]
        case .v015, .v016, .v017: ["colorlog", "tqdm", "pillow", "argon2-cffi", "PyJWT>=2.6", "send2trash"]
        }
    }

    private var package: String { "plantdb.commons==\(rawValue)" }
    private var directory: String { Self.directory + "/" + rawValue }
    var python: String { directory + "/bin/python" }

    /// `upstream` in the build folder: above `TRIPLE/CONFIGURATION`, where the tests lie.
    private static let directory = URL(fileURLWithPath: Product.directory)
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("upstream").path

    // MARK: Installation

    /// Whether all of ``tested`` are installed; the first call installs them, a quarter of a minute each.
    ///
    /// What prevents it (no Python, no network) is said on stderr, once.
    static var areInstalled: Bool {
        get async { await installation.value }
    }

    private static let installation = Task.detached {
        await onThread {
            do {
                try installAll()
                return true
            } catch {
                say(
                    "WARNING: the tests against upstream's own library are SKIPPED: \(error)\n"
                        + "They need python3 (3.10 or later, with its venv module) and, once, a package index."
                )
                return false
            }
        }
    }

    private static func installAll() throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        // One test process installs, the others wait for it and find it done.
        let lock = open(directory + "/install.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw failure("open", directory + "/install.lock") }
        defer { close(lock) }
        guard flock(lock, LOCK_EX) == 0 else { throw failure("lock", directory + "/install.lock") }
        for release in tested { try release.install() }
    }

    /// A marker, written last, tells a complete environment and what it holds.
    private func install() throws {
        let marker = directory + "/complete"
        let content = Data((requirements + [package]).joined(separator: "\n").utf8)
        if FileManager.default.contents(atPath: marker) == content,
            FileManager.default.isExecutableFile(atPath: python)
        {
            return
        }
        Self.say("installing \(package) into \(directory) …")
        try removeTree(directory)
        try run("python3", ["-m", "venv", directory])
        let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-input"]
        try run(python, pip + requirements)
        // 0.17 names Pythons below 3.13 only, and runs on later ones.
        try run(python, pip + ["--no-deps", "--ignore-requires-python", package])
        try run(python, [Driver.list.path], environment: ["PYTHONDONTWRITEBYTECODE": "1"])
        guard FileManager.default.createFile(atPath: marker, contents: content) else {
            throw failure("write", marker)
        }
    }

    private func run(_ program: String, _ arguments: [String], environment: [String: String] = [:]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw ToolFailure(
                description: "“\(([program] + arguments).joined(separator: " "))” ended with "
                    + "\(process.terminationStatus): \(text.suffix(2000))")
        }
    }

    private static func say(_ text: String) {
        FileHandle.standardError.write(Data("UpstreamTests: \(text)\n".utf8))
    }
}

/// A Python program beside these tests.
enum Driver: String {
    case list, create, lock, read, dump, work

    var path: String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Scripts/\(rawValue).py").path
    }
}

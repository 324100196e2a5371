import Foundation
import PlantDBTesting

/// The built command, run as its users run it.
final class PlantdbProcess {
    struct Outcome {
        var status: Int32
        var output: String
        var diagnostics: String

        var lines: [Substring] { output.split(separator: "\n") }
    }

    private let process = Process()
    private let folder: TemporaryDirectory

    /// It lies beside the bundle of the tests.
    static var executable: URL {
        URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
            .appendingPathComponent("plantdb")
    }

    /// - Parameter output: where stdout goes; nil: into the outcome.
    init(
        _ arguments: [String], input: String = "", output: FileHandle? = nil, in directory: String? = nil,
        environment: [String: String] = [:]
    ) throws {
        folder = try TemporaryDirectory()
        try writeFile(folder.appending("in"), Array(input.utf8))
        try writeFile(folder.appending("out"), [])
        try writeFile(folder.appending("err"), [])
        process.executableURL = Self.executable
        process.arguments = arguments
        // The tests' runs stay out of their user's history, and her named databases out of them.
        process.environment = ProcessInfo.processInfo.environment.merging([
            "PLANTDB_STATE": "", "PLANTDB_CONFIG": "",
        ]) { $1 }
        .merging(environment) { $1 }
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
        process.standardInput = FileHandle(forReadingAtPath: folder.appending("in"))
        process.standardOutput = output ?? FileHandle(forWritingAtPath: folder.appending("out"))
        process.standardError = FileHandle(forWritingAtPath: folder.appending("err"))
        try process.run()
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    var diagnostics: String {
        get throws { try String(decoding: bytesOnDisk(folder.appending("err")), as: UTF8.self) }
    }

    func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    func outcome() throws -> Outcome {
        process.waitUntilExit()
        let outcome = Outcome(
            status: process.terminationReason == .exit
                ? process.terminationStatus : -process.terminationStatus,
            output: try String(decoding: bytesOnDisk(folder.appending("out")), as: UTF8.self),
            diagnostics: try diagnostics)
        try folder.remove()
        return outcome
    }
}

/// Runs `plantdb` to its end.
func plantdb(
    _ arguments: String..., input: String = "", in directory: String? = nil,
    environment: [String: String] = [:]
) throws -> PlantdbProcess.Outcome {
    try PlantdbProcess(arguments, input: input, in: directory, environment: environment).outcome()
}

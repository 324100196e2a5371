import Foundation

/// Runs a program to its end, with what it writes on both channels. It does not hold up the servers
/// of this process while it waits.
func runProgram(
    _ program: String, _ arguments: [String], in folder: String? = nil, environment: [String: String] = [:]
) async throws -> (status: Int32, output: String) {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(
                with: Result { try runProgramHere(program, arguments, in: folder, environment: environment) })
        }
    }
}

/// The same on this thread.
func runProgramHere(
    _ program: String, _ arguments: [String], in folder: String? = nil, environment: [String: String] = [:]
) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text, as: UTF8.self))
}

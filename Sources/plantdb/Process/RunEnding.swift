import Foundation
import PlantDBCore
import SyncEngine

/// What is done when a run has ended, however it ended: it is kept in the history, its report is
/// written, and then the command of `--on-finish` is told.
struct RunEnding: Sendable {
    let console: Console
    var kept: KeptRun?
    var report: ReportFile?
    var command: FinishCommand?

    init(console: Console) { self.console = console }

    /// - Parameter summary: as docs/json-events.md says, on one line.
    /// - Returns: why the report could not be written, which has been said; nil: it was, or none was
    ///   asked for.
    func take(_ result: SyncReport, exitCode: Int32, summary: String) async -> DatabaseError? {
        kept?.finish(result, exitCode: exitCode, summary: summary)
        let unwritten = writeReport(summary)
        if let problem = await command?.run(exitCode: exitCode, summary: summary) {
            console.error("warning: --on-finish: \(problem.printable)")
        }
        return unwritten
    }

    /// As ``take(_:exitCode:summary:)``.
    func writeReport(_ summary: String) -> DatabaseError? {
        do throws(DatabaseError) {
            try report?.write(summary)
            return nil
        } catch {
            console.error(ReportText.line(of: error))
            return error
        }
    }
}

/// The command of `--on-finish`.
struct FinishCommand: Sendable {
    /// For sh(1).
    let text: String
    let run: RunID
    let source: String
    let target: String

    /// Runs it to its end, with the summary on its standard input and what it writes on our standard
    /// error: standard output is the run's own.
    ///
    /// - Returns: what is wrong with how it ended; nil: nothing.
    func run(exitCode: Int32, summary: String) async -> String? {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", text]
        var environment = ProcessInfo.processInfo.environment
        environment["PLANTDB_EXIT_CODE"] = String(exitCode)
        environment["PLANTDB_RUN"] = run.rawValue
        environment["PLANTDB_SOURCE"] = source
        environment["PLANTDB_TARGET"] = target
        process.environment = environment
        process.standardOutput = FileHandle.standardError
        let input = Pipe()
        process.standardInput = input
        let ended = AsyncStream<Process>.makeStream()
        process.terminationHandler = {
            ended.continuation.yield($0)
            ended.continuation.finish()
        }
        @Sendable func close(_ handle: FileHandle) {
            // An end of a pipe that cannot be closed is closed already.
            do { try handle.close() } catch {}
        }
        do { try process.run() } catch { return error.localizedDescription }
        // The command alone reads: when it has ended without, writing ends too. SIGPIPE is ignored.
        close(input.fileHandleForReading)
        let end = input.fileHandleForWriting
        DispatchQueue.global().async {
            Descriptor.writeAll(summary + "\n", to: end.fileDescriptor)
            close(end)
        }
        for await process in ended.stream where process.terminationStatus != 0 {
            return process.terminationReason == .exit
                ? "the command ended with \(process.terminationStatus)"
                : "the command was ended by signal \(process.terminationStatus)"
        }
        return nil
    }
}

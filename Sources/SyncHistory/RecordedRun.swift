import PlantDBCore
import SyncEngine

/// What the history knows of one run, without its report.
public struct RecordedRun: Sendable, Hashable {
    public enum State: Sendable, Hashable {
        /// Begun, and its process may still be at work.
        case running
        /// Begun, and its process is gone without having said how it ended.
        case unfinished
        case finished(Outcome)
    }

    /// How a run ended.
    public struct Outcome: Sendable, Hashable {
        /// As the command's: 0 is success.
        public var exitCode: Int32
        /// Created, updated or removed at the target.
        public var scansPublished: Int
        public var filesMoved: Int
        public var bytesMoved: Int64

        public init(exitCode: Int32, scansPublished: Int, filesMoved: Int, bytesMoved: Int64) {
            self.exitCode = exitCode
            self.scansPublished = scansPublished
            self.filesMoved = filesMoved
            self.bytesMoved = bytesMoved
        }

        public init(_ report: SyncReport, exitCode: Int32) {
            self.init(
                exitCode: exitCode, scansPublished: report.scansPublished,
                filesMoved: report.totals.filesMoved, bytesMoved: report.totals.bytesMoved)
        }
    }

    public var run: RunID
    /// Without a password.
    public var source: String
    /// Without a password.
    public var target: String
    public var begun: ModificationTime
    /// nil while it has not finished.
    public var ended: ModificationTime?
    public var state: State

    /// Whether it ended with another code than 0, or without any.
    public var hasFailed: Bool {
        switch state {
        case .running: false
        case .unfinished: true
        case .finished(let outcome): outcome.exitCode != 0
        }
    }

    /// nil while it has not finished.
    public var seconds: Double? {
        ended.map { (Double($0.nanoseconds) - Double(begun.nanoseconds)) / 1e9 }
    }
}

import PlantDBCore
import SyncEngine
import Testing

@testable import plantdb

@Suite struct ExitStatusTests {
    @Test(
        arguments: [
            (.invalidArgument, 2), (.invalidName, 2), (.notADatabase, 10), (.notFound, 1),
            (.alreadyExists, 1),
            (.emptySource, 10), (.locked, 11), (.authentication, 12), (.permissionDenied, 1),
            (.sourceChanged, 24),
            (.conflict, 1), (.deletionGuard, 25), (.verificationFailed, 26), (.noSpace, 28),
            (.unreachable, 30),
            (.unsupported, 1), (.invalidData, 1), (.io, 1), (.cancelled, 130),
        ] as [(DatabaseError.Code, Int32)])
    func codesOfErrors(_ code: DatabaseError.Code, _ status: Int32) {
        #expect(ExitStatus(DatabaseError(code, "")).code == status)
    }

    @Test func aDatabaseThatIsNotThere() {
        #expect(ExitStatus(DatabaseError(.notFound, ""), opening: true) == .noDatabase)
    }

    private func report(_ codes: [DatabaseError.Code], ended: DatabaseError.Code? = nil) -> SyncReport {
        SyncReport(
            runID: RunID(rawValue: "r"),
            scans: codes.map { ScanReport(scan: nil, outcome: .failed, errors: [DatabaseError($0, "")]) },
            error: ended.map { DatabaseError($0, "") })
    }

    @Test func whatEndedTheRunComesFirst() {
        #expect(ExitStatus(report([.verificationFailed], ended: .locked)) == .locked)
    }

    @Test func theMostTellingFailure() {
        #expect(ExitStatus(report([.io])) == .partial)
        #expect(ExitStatus(report([.permissionDenied, .sourceChanged])) == .partial)
        #expect(ExitStatus(report([.sourceChanged])) == .sourceChanged)
        #expect(ExitStatus(report([.sourceChanged, .io, .locked])) == .locked)
        #expect(ExitStatus(report([.unreachable, .noSpace])) == .noSpace)
        #expect(ExitStatus(report([.noSpace, .verificationFailed])) == .verification)
        #expect(ExitStatus(report([.invalidName])) == .partial)
    }

    @Test func withoutFailures() throws {
        var report = report([])
        #expect(ExitStatus(report) == .inSync)
        var counts = ScanCounts()
        counts.filesUnresolved = 1
        report.scans = [ScanReport(scan: nil, outcome: .unchanged, counts: counts)]
        #expect(ExitStatus(report) == .differences)
        report.scans[0].skipped = [SkippedEntry(path: "link", reason: .symbolicLink)]
        #expect(ExitStatus(report) == .differences)
        report.scans[0].skipped.append(SkippedEntry(path: "images", reason: .unreadable))
        #expect(ExitStatus(report) == .partial)
    }

    @Test func plans() throws {
        var plan = try Samples.plan()
        #expect(ExitStatus(plan, reportsDifferences: true) == .partial)
        plan.failures = []
        plan.scans.removeFirst()
        #expect(ExitStatus(plan, reportsDifferences: true) == .differences)
        #expect(ExitStatus(plan, reportsDifferences: false) == .inSync)
        plan.scans = []
        plan.removedScans = []
        #expect(ExitStatus(plan, reportsDifferences: true) == .inSync)
    }
}

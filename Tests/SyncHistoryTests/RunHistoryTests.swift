import Foundation
import Glibc
import PlantDBCore
import PlantDBTesting
import SyncEngine
import Testing

@testable import SyncHistory

@Suite struct RunHistoryTests {
    let folder: TemporaryDirectory
    var file: String { folder.appending("state/plantdb/history.sqlite") }

    init() throws { folder = try TemporaryDirectory() }

    private static let outcome = RecordedRun.Outcome(
        exitCode: 3, scansPublished: 2, filesMoved: 10, bytesMoved: 5_000_000_000)

    @Test func aRunIsRunningThenFinishedAndItsReportComesBackByteForByte() throws {
        let history = try RunHistory(file: file)
        let run = RunID.make()
        try history.begin(run, source: "/a", target: "ssh://h/b")
        #expect(try history.list().map(\.state) == [.running])
        #expect(try history.report(of: run).report == nil)
        let report = #"{"errors":[{"message":"naïve \u0000 “ü”"}]}"#
        try history.finish(run, Self.outcome, report: report)
        let (found, kept) = try RunHistory(file: file).report(of: run)
        #expect(kept == report)
        #expect(found.state == .finished(Self.outcome))
        #expect(found.source == "/a" && found.target == "ssh://h/b")
        #expect(try #require(found.seconds) >= 0)
        try folder.remove()
    }

    @Test func theNewestComesFirst() throws {
        let history = try RunHistory(file: file)
        for id in ["b", "c", "a"] { try history.begin(RunID(rawValue: id), source: "/a", target: "/b") }
        #expect(try history.list(last: 2).map(\.run.rawValue) == ["a", "c"])
        try folder.remove()
    }

    @Test func onlyTheLastRunsAreKept() throws {
        let history = try RunHistory(file: file)
        for number in 0..<RunHistory.maximumRuns + 5 {
            try history.begin(RunID(rawValue: "\(number)"), source: "/a", target: "/b")
        }
        let kept = try history.list(last: .max)
        #expect(kept.count == RunHistory.maximumRuns)
        #expect(kept.first?.run.rawValue == "1004" && kept.last?.run.rawValue == "5")
        #expect(throws: DatabaseError(.notFound, "")) {
            try history.finish(RunID(rawValue: "0"), Self.outcome, report: "{}")
        }
        try folder.remove()
    }

    @Test func largeReportsPushOutOldRuns() throws {
        let history = try RunHistory(file: file)
        let large = String(repeating: "x", count: RunHistory.maximumReportBytes / 2)
        for id in ["1", "2", "3"] {
            try history.begin(RunID(rawValue: id), source: "/a", target: "/b")
            try history.finish(RunID(rawValue: id), Self.outcome, report: large)
        }
        try history.begin(RunID(rawValue: "4"), source: "/a", target: "/b")
        #expect(try history.list().map(\.run.rawValue) == ["4", "3", "2"])
        try folder.remove()
    }

    @Test func severalHistoriesOfOneFileAtOnce() async throws {
        let file = file
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<8 {
                group.addTask {
                    let history = try RunHistory(file: file)
                    for number in 0..<20 {
                        let run = RunID(rawValue: "\(writer)-\(number)")
                        try history.begin(run, source: "/a", target: "/b")
                        try history.finish(run, Self.outcome, report: "{}")
                    }
                }
            }
            try await group.waitForAll()
        }
        let runs = try RunHistory(file: file).list()
        #expect(runs.count == 160 && runs.allSatisfy { $0.state == .finished(Self.outcome) })
        try folder.remove()
    }

    @Test func noPasswordIsKeptAndNobodyElseReadsTheFile() throws {
        let path = folder.appending("history.sqlite")
        let history = try RunHistory(file: path)
        try history.begin(RunID.make(), source: "ssh://me:se/cr@et@host/db", target: "http://h/?token=x")
        let run = try #require(try history.list().first)
        #expect(run.source == "ssh://me:…@host/db" && run.target == "http://h/?…")
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        try folder.remove()
    }

    @Test func aFileThatIsNoHistoryIsAnErrorThatNamesIt() throws {
        let path = folder.appending("history.sqlite")
        try writeFile(path, Array(String(repeating: "no database ", count: 100).utf8))
        let error = #expect(throws: DatabaseError.self) { try RunHistory(file: path) }
        #expect(error?.code == .io && error?.message.contains(path) == true)
        try folder.remove()
    }

    @Test func placeOfTheFile() {
        #expect(RunHistory.file(in: ["HOME": "/h"]) == "/h/.local/state/plantdb/history.sqlite")
        #expect(RunHistory.file(in: ["HOME": "/h", "XDG_STATE_HOME": "/s"]) == "/s/plantdb/history.sqlite")
        #expect(
            RunHistory.file(in: ["HOME": "/h", "XDG_STATE_HOME": "s"])
                == "/h/.local/state/plantdb/history.sqlite")
        #expect(RunHistory.file(in: ["HOME": "/h", "PLANTDB_STATE": "/p"]) == "/p/history.sqlite")
        #expect(RunHistory.file(in: ["HOME": "/h", "PLANTDB_STATE": ""]) == nil)
    }
}

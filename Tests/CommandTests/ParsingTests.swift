import ArgumentParser
import PlantDBCore
import PlantDBTesting
import SyncEngine
import Testing

@testable import plantdb

@Suite struct ParsingTests {
    private func sync(_ arguments: String...) throws -> SyncCommand {
        try #require(try Plantdb.parseAsRoot(["sync"] + arguments) as? SyncCommand)
    }

    @Test func defaultsAreTheEngines() throws {
        let options = try sync("a", "b").options()
        let plain = SyncOptions()
        #expect(options.comparison == plain.comparison && options.existing == plain.existing)
        #expect(options.deletion == .never && !options.usesTrash && options.selection == plain.selection)
        #expect(options.verification == plain.verification && options.durability == plain.durability)
        #expect(options.retries == plain.retries && options.transfers == nil)
        #expect(options.lockWait == .zero && options.locksSource && !options.allowsEmptySource)
    }

    @Test func everyOption() throws {
        let options = try sync(
            "a", "b", "one/", "two*", "--scan", "three", "-c", "-u", "--modify-window", "1.5", "--verify",
            "full",
            "--delete", "--max-delete", "25%", "--trash", "--min-age", "2m", "--fileset", "images",
            "--fileset",
            "P*", "--exclude-fileset", "x", "--where", "a.b=c=d", "--transfers", "3", "--retries", "0",
            "--fsync", "always", "--lock-wait", "1h", "--no-source-lock", "--allow-empty-source"
        ).options()
        #expect(options.comparison == .checksum && options.existing == .keepNewer)
        #expect(options.modifyWindowNanoseconds == 1_500_000_000)
        #expect(options.verification == .full && options.durability == .always)
        #expect(options.deletion == .delete(limit: .percent(25)) && options.usesTrash)
        #expect(options.selection.scans == ["one", "two*", "three"])
        #expect(
            options.selection.filesets == ["images", "P*"] && options.selection.excludedFilesets == ["x"])
        #expect(options.selection.metadata == [MetadataCondition(key: "a.b", value: "c=d")])
        #expect(options.selection.minimumAge == .seconds(120))
        #expect(options.transfers == 3 && options.retries == 0 && options.lockWait == .seconds(3600))
        #expect(!options.locksSource && options.allowsEmptySource)
    }

    @Test func deletionHasALimitUnlessToldOtherwise() throws {
        #expect(try sync("a", "b", "--delete").options().deletion == .delete(limit: .percent(10)))
        #expect(
            try sync("a", "b", "--delete", "--max-delete", "7").options().deletion
                == .delete(limit: .files(7)))
    }

    @Test func scansFromAFile() throws {
        let folder = try TemporaryDirectory()
        try writeFile(folder.appending("names"), Array("one\n# no\ntwo\n".utf8))
        #expect(
            try sync("a", "b", "--scans-from", folder.appending("names")).options().selection.scans == [
                "one", "two",
            ])
        try writeFile(folder.appending("empty"), Array("# none\n".utf8))
        let error = #expect(throws: DatabaseError.self) {
            try sync("a", "b", "--scans-from", folder.appending("empty")).options()
        }
        #expect(error?.code == .invalidArgument)
        #expect(throws: DatabaseError.self) {
            try sync("a", "b", "--scans-from", folder.appending("absent")).options()
        }
        try folder.remove()
    }

    @Test(arguments: [
        ["sync"], ["sync", "a"], ["sync", "", "b"], ["sync", "a", "b", ""], ["sync", "a", "b", "--nonsense"],
        ["sync", "a", "b", "-c", "--size-only"], ["sync", "a", "b", "-u", "--ignore-existing"],
        ["sync", "a", "b", "--size-only", "--modify-window", "1"],
        ["sync", "a", "b", "--modify-window", "-1"],
        ["sync", "a", "b", "--max-delete", "5"], ["sync", "a", "b", "--trash"],
        ["sync", "a", "b", "--exit-code"],
        ["sync", "a", "b", "--delete", "--max-delete", "101%"],
        ["sync", "a", "b", "--delete", "--max-delete", "x"],
        ["sync", "a", "b", "--min-age", "5"], ["sync", "a", "b", "--where", "=x"],
        ["sync", "a", "b", "--where", "x"], ["sync", "a", "b", "--transfers", "0"],
        ["sync", "a", "b", "--retries", "-1"], ["sync", "a", "b", "--verify", "perhaps"],
        ["sync", "a", "b", "--fsync", "perhaps"], ["sync", "a", "b", "-v", "-q"],
        ["sync", "a", "b", "-P", "--no-progress"], ["sync", "a", "b", "-P", "-q"],
        ["sync", "a", "b", "-n", "-P"],
        ["sync", "a", "b", "--scan", ""], ["sync", "a", "b", "--report", ""],
        ["diff", "a"], ["diff", "a", "b", "-c", "--size-only"], ["scans"], ["check"], ["init"], ["init", ""],
        ["testdb"], ["testdb", "a", "nonsense"], ["testdb", "a", "--seed", "-1"], ["locks", "nonsense"],
        ["locks", "list"], ["locks", "break", "a", "--force"], ["completion"], ["completion", "tcsh"],
        ["nonsense"],
    ])
    func wrongUsage(_ arguments: [String]) throws {
        let error = #expect(throws: (any Error).self) { try Plantdb.parseAsRoot(arguments) }
        // The code that the command turns into 2.
        #expect(Plantdb.exitCode(for: try #require(error)) == .validationFailure)
        #expect(Plantdb.fullMessage(for: try #require(error)).hasPrefix("Error: "))
    }

    @Test func errorsSayWhatWouldBeUnderstood() throws {
        let error = #expect(throws: (any Error).self) { try sync("a", "b", "--min-age", "5") }
        #expect(Plantdb.message(for: try #require(error)).contains("90s, 15m, 2h or 1d"))
    }
}

import DatabaseCheck
import FSDB
import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

struct DatabaseCheckerTests {
    private func check(_ scans: [String: DictionarySource.Content]) async throws(DatabaseError) -> CheckReport
    {
        try await DatabaseChecker(source: DictionarySource(scans: scans)).run()
    }

    private func refusing(_ report: CheckReport) -> [UpstreamRelease] {
        UpstreamRelease.allCases.filter { !report.refusals(by: $0).isEmpty }
    }

    /// Code and path of each finding, sorted.
    private func found(_ report: CheckReport) -> [String] {
        report.findings.map { "\($0.code) \($0.path ?? "")".trimmingCharacters(in: .whitespaces) }.sorted()
    }

    @Test func nothingIsWrongWithAGoodDatabase() async throws {
        let report = try await check(["a": .good, "b": .good])
        #expect(report.findings == [])
        #expect(report.refusals == [])
        #expect(report.worst == nil)
        #expect(report.scansChecked == 2)
        #expect(report.filesChecked == 14)
        let empty = try await check([:])
        #expect(empty.findings.isEmpty && empty.refusals.isEmpty)
    }

    // MARK: Accounts

    @Test("An owner or a group that has no account here is found, once for all its scans")
    func unknownAccounts() async throws {
        func content(_ metadata: String) -> DictionarySource.Content {
            .good.with("metadata/metadata.json", metadata)
        }
        var source = DictionarySource(scans: [
            "a": content(#"{"owner": "eve", "sharing": ["lab", "others"]}"#),
            "b": content(#"{"owner": "eve"}"#), "c": content(#"{"owner": "anna", "sharing": ["lab"]}"#),
            "d": content(#"{"owner": 7, "sharing": "lab"}"#), "e": .good,
        ])
        // Nothing is known of accounts: nothing is said.
        #expect(try await DatabaseChecker(source: source).run().findings.isEmpty)
        source.accounts = .success(AccountNames(users: ["anna"], groups: ["lab"]))
        let report = try await DatabaseChecker(source: source).run()
        #expect(found(report) == ["unknownAccount groups.json", "unknownAccount users.json"])
        #expect(report.findings[0].message.contains("“eve”, the owner of 2 scans (a, b)"))
        #expect(report.findings[1].message.contains("“others”"))
        #expect(report.worst == .warning && report.counts[.warning] == 2)
        // Release 0.14 knows no groups.
        source.accounts = .success(AccountNames(users: ["anna", "eve"], groups: nil))
        #expect(try await DatabaseChecker(source: source).run().findings.isEmpty)
        // Of other scans nothing is said.
        source.accounts = .success(AccountNames(users: [], groups: nil))
        let one = try await DatabaseChecker(source: source).run { $0.rawValue == "c" }
        #expect(one.findings.map(\.message).count == 1 && one.findings[0].message.contains("scan c"))
        source.accounts = .failure(DatabaseError(.invalidData, "no JSON", path: "users.json"))
        let unread = try await DatabaseChecker(source: source).run()
        #expect(found(unread) == ["invalidJSON users.json"])
        source.accounts = .failure(DatabaseError(.unreachable, "gone"))
        await #expect(throws: DatabaseError(.unreachable, "")) {
            try await DatabaseChecker(source: source).run()
        }
    }

    @Test("Accounts are read from the database as 0.14 keeps them, and as later releases do")
    func accountFiles() async throws {
        let folder = try TemporaryDirectory()
        try SampleDatabase.plants(1).write(to: folder.path)
        func names() async throws -> AccountNames? {
            let endpoint = try await FSDBEndpoint.open(path: folder.path, .existing)
            defer { Task { await endpoint.close() } }
            return try await endpoint.accountNames()
        }
        func write(_ name: String, _ text: String) throws {
            try writeFile(folder.appending(name), Array(text.utf8))
        }
        #expect(try await names() == nil)
        try write("users.json", #"{"anna": {"password": "x"}, "anonymous": {}}"#)
        #expect(try await names() == AccountNames(users: ["anna", "anonymous"], groups: nil))
        try write("users.json", #"[{"username": "guest"}, {"username": "anna"}, {"fullname": "nobody"}]"#)
        try write("groups.json", "")
        #expect(try await names() == AccountNames(users: ["guest", "anna"], groups: []))
        try write("groups.json", #"{"lab": {"users": ["anna"]}}"#)
        #expect(try await names() == AccountNames(users: ["guest", "anna"], groups: ["lab"]))
        for (name, text) in [
            ("groups.json", "{"), ("groups.json", "[]"), ("users.json", "7"), ("users.json", "["),
        ] {
            try write("groups.json", "")
            try write(name, text)
            let error = await #expect(throws: DatabaseError.self) { try await names() }
            #expect(error?.code == .invalidData && error?.path == name)
        }
        try folder.remove()
    }

    // MARK: The index and the files

    @Test func findsWhatIsListedAndAbsent() async throws {
        let report = try await check(["a": .good.with("images/00000_rgb.jpg", nil)])
        #expect(found(report) == ["missingFile images/00000_rgb.jpg", "noImages"])
        #expect(report.findings.first?.scan == "a")
        #expect(report.worst == .error)
        // Upstream drops the entry and opens the database.
        #expect(report.refusals.isEmpty)
    }

    @Test func aMissingFilesetIsOneFinding() async throws {
        let report = try await check(["a": .good.with("images/00000_rgb.jpg", nil).with("images/", nil)])
        #expect(found(report) == ["missingFileset images", "noImages"])
    }

    @Test func findsWhatIsThereAndUnlisted() async throws {
        let report = try await check([
            "a": .good.with("images/extra.jpg", "x").with("images/sub/deep.jpg", "x").with(
                "Voxels/v.npz", "x"
            )
            .with("Voxels/w.npz", "x").with("webcache/1.jpeg", "x").with("pipeline.toml", "x")
        ])
        #expect(
            found(report) == [
                "unlistedDirectory Voxels", "unlistedFile images/extra.jpg",
                "unlistedFile images/sub/deep.jpg",
            ])
        #expect(report.findings.first { $0.code == .unlistedDirectory }?.message.contains("2 files") == true)
        #expect(report.worst == .warning)
    }

    @Test func findsMetadataOfNothing() async throws {
        let report = try await check([
            "a": .good.with("metadata/Voxels.json", "{}").with("metadata/images/gone.json", "{}")
        ])
        #expect(
            found(report) == [
                "orphanedMetadata metadata/Voxels.json", "orphanedMetadata metadata/images/gone.json",
            ])
        #expect(report.worst == .note)
    }

    @Test func flawsOfTheIndexAreNamed() async throws {
        let index = #"""
            {"filesets": [
                {"id": "images", "files": [
                    {"id": "00000_rgb", "file": "00000_rgb.jpg"}, {"id": "00000_rgb", "file": "00000_rgb.jpg"},
                    {"file": "x"}, {"id": "y"}, {"id": "up", "file": "../../x"}
                ]},
                {"id": "Voxels"}
            ]}
            """#
        let report = try await check([
            "a": .good.with("files.json", index).with("Voxels/", "").with("images/x", "")
        ])
        let flaws = report.findings.filter { $0.code == .indexFlaw }
        #expect(flaws.count == 5)
        #expect(flaws.filter { $0.severity == .error }.count == 3)
        #expect(refusing(report) == [.v014])
        #expect(report.refusals(by: .v014).count == 2)
    }

    // MARK: What releases refuse (upstream-observed)

    @Test(arguments: [
        ("{", UpstreamRelease.allCases), ("", UpstreamRelease.allCases),
        ("\u{feff}{\"filesets\": []}", UpstreamRelease.allCases),
        ("{}", UpstreamRelease.allCases), ("[]", UpstreamRelease.allCases),
        (#"{"filesets": 1}"#, [.v014, .v015]),
    ])
    func aBadIndexStopsReleases(_ text: String, _ releases: [UpstreamRelease]) async throws {
        let report = try await check(["a": .good.with("files.json", text)])
        #expect(refusing(report) == releases)
        #expect(found(report) == ["invalidIndex files.json"])
        #expect(report.worst == .error)
    }

    @Test(arguments: [
        (#"{"id": "images"}"#, true), (#"{"id": "images", "files": {}}"#, true),
        (#"{"id": "images", "files": [null]}"#, true), (#"{"id": "images", "files": [{"id": "a"}]}"#, true),
        ("null", true), (#"{"id": 3, "files": []}"#, true), (#"{"id": null, "files": []}"#, false),
        // Of a fileset that is not there no release looks at the rest.
        (#"{"id": "gone"}"#, false), (#"{"id": "gone", "files": {}}"#, false),
        (#"{"id": "gone", "files": [null]}"#, false), (#"{"id": "gone", "files": [{"id": "a"}]}"#, false),
    ])
    func unusableEntriesStop0_14(_ entry: String, _ isRefused: Bool) async throws {
        let report = try await check(["a": .good.with("files.json", #"{"filesets": [\#(entry)]}"#)])
        #expect(refusing(report) == (isRefused ? [.v014] : []))
        #expect(report.findings.contains { $0.code == .indexFlaw })
    }

    /// Metadata of a fileset, and what is not on disk.
    @Test func metadataIsReadWithWhatItDescribes() async throws {
        let index = #"""
            {"filesets": [{"id": "images", "files": [{"id": "0", "file": "0.jpg"}]}, {"id": "V", "files": []}]}
            """#
        let scan = DictionarySource.Content.good.with("files.json", index)
        let fileset = scan.with("metadata/V.json", "[]")
        #expect(refusing(try await check(["a": fileset])) == [])
        #expect(refusing(try await check(["a": fileset.with("V/", "")])) == [.v014])
        let file = scan.with("metadata/images/0.json", "[]")
        #expect(refusing(try await check(["a": file])) == [])
        #expect(refusing(try await check(["a": file.with("images/0.jpg", "")])) == [.v014])
        // 0.14 and 0.15 read this one in any case.
        let images = DictionarySource.Content.good.with("files.json", #"{"filesets": []}"#)
        #expect(
            refusing(try await check(["a": images.with("metadata/images.json", "[]")])) == [.v014, .v015])
    }

    @Test func aMissingIndexOrMetadataStopsReleases() async throws {
        #expect(refusing(try await check(["a": .good.with("files.json", nil)])) == [.v015, .v016])
        var bare = DictionarySource.Content.good
        bare.files = bare.files.filter { !$0.key.hasPrefix("metadata") }
        #expect(refusing(try await check(["a": bare])) == [.v016])
        #expect(found(try await check(["a": bare])) == ["missingMetadata metadata"])
    }

    @Test(arguments: [
        ("metadata/metadata.json", UpstreamRelease.allCases), ("measures.json", UpstreamRelease.allCases),
        ("metadata/images/00000_rgb.json", [.v014]), ("metadata/images.json", [.v014, .v015]),
    ])
    func metadataOfTheWrongShapeStopsReleases(_ path: String, _ releases: [UpstreamRelease]) async throws {
        let report = try await check(["a": .good.with(path, "[1]")])
        #expect(refusing(report) == releases)
        #expect(found(report) == ["wrongShape \(path)"])
        let undecodable = try await check(["a": .good.with(path, "{\"a\": \"\u{fffd}\"}")])
        #expect(refusing(undecodable) == releases)
        #expect(found(undecodable) == ["invalidJSON \(path)"])
        // What is no JSON at all is read as empty by every release.
        let invalid = try await check(["a": .good.with(path, "{\"a\": oops}")])
        #expect(found(invalid) == ["invalidJSON \(path)"])
        #expect(invalid.refusals.isEmpty)
        #expect(invalid.findings.first?.message.contains("line 1, column 7") == true)
    }

    @Test func strayDirectoriesStopRecentReleases() async throws {
        let report = try await check([
            "good": .good, "models": .init(kind: .stray(reason: "it has no files.json")),
            "configs": .init(kind: .stray(reason: "it has no files.json")),
            "half": .init(
                kind: .stray(reason: "it has no files.json"), files: ["metadata/metadata.json": "{}"]),
            "odd": .init(
                kind: .stray(reason: "it has no files.json"), files: ["metadata/": "", "files.json/": ""]),
        ])
        #expect(report.refusals(by: .v014).isEmpty)
        #expect(report.refusals(by: .v015).map(\.scan) == ["half", "odd"])
        #expect(report.refusals(by: .v016).map(\.scan) == ["half", "models", "odd"])
        #expect(report.findings.filter { $0.scan == "configs" }.map(\.severity) == [.note])
        #expect(report.scansChecked == 1)
        #expect(report.counts == [.error: 5, .note: 1])
    }

    @Test func namesThatAreNoScanNamesAreFound() async throws {
        var source = DictionarySource(scans: ["good": .good])
        source.skipped = [
            SkippedEntry(path: "my scan", reason: .invalidName),
            SkippedEntry(path: "a b", reason: .notAScan, detail: "empty"),
            SkippedEntry(path: "closed", reason: .unreadable, detail: "Permission denied"),
            SkippedEntry(path: "link", reason: .symbolicLink),
        ]
        let report = try await DatabaseChecker(source: source).run()
        #expect(report.findings.map(\.code) == [.invalidName, .strayDirectory, .unreadable, .symbolicLink])
        #expect(report.refusals(by: .v016).map(\.scan) == ["a b"])
        #expect(report.findings.first?.scan == "my scan")
    }

    // MARK: Names

    @Test func namesAreJudgedByTheRulesOfEachRelease() {
        for id in ["a", "scan_1", "Scan-2", "0"] {
            #expect(UpstreamRelease.allCases.allSatisfy { $0.canCreate(id: id) }, "\(id)")
        }
        #expect(UpstreamRelease.v014.canCreate(id: "pflänzchen.1"))
        #expect(!UpstreamRelease.v014.canCreate(id: "a b"))
        #expect(!UpstreamRelease.v014.canCreate(id: ""))
        #expect(!UpstreamRelease.v014.canCreate(id: String(repeating: "a", count: 256)))
        for id in ["_a", "a.b", "é", "-a", "", String(repeating: "a", count: 129)] {
            #expect(!UpstreamRelease.v016.canCreate(id: id), "\(id)")
        }
        #expect(UpstreamRelease.canAddress(id: "a.b-_"))
        #expect(!UpstreamRelease.canAddress(id: "é"))
    }

    @Test func namesThatAReleaseCannotCreateAreNoted() async throws {
        let index = #"{"filesets": [{"id": "images", "files": [{"id": "a b", "file": "a b.jpg"}]}]}"#
        let report = try await check([
            "scan.1": DictionarySource.Content(files: [
                "files.json": index, "images/a b.jpg": "x", "metadata/metadata.json": "{}",
            ])
        ])
        #expect(report.findings.map(\.code) == [.invalidName, .invalidName])
        #expect(report.findings.map(\.severity) == [.note, .warning])
        #expect(report.findings[0].message.contains("0.16+"))
        #expect(report.findings[1].path == "images/a b.jpg")
    }

    // MARK: Timelapses

    @Test func contradictionsOfTimelapsesAreFound() async throws {
        func member(_ metadata: String?) -> DictionarySource.Content {
            .good.with("metadata/metadata.json", metadata)
        }
        let container = DictionarySource.Content(
            kind: .timelapse, files: ["timelapse.json": #"{"id": "TL"}"#])
        let good = try await check(["TL": container, "TL/a": member(#"{"timelapse": {"id": "TL"}}"#)])
        #expect(good.findings.map(\.code) == [.timelapse])
        #expect(good.findings.map(\.severity) == [.warning])
        // No release of 0.16 opens a container that has a scan; an empty one it opens.
        #expect(refusing(good) == [.v016])
        #expect(refusing(try await check(["TL": container])).isEmpty)

        // What else may lie in one.
        for (name, isRefused) in [("TL/stray", true), ("TL/configs", false)] {
            let stray = DictionarySource.Content(kind: .stray(reason: "it has no files.json"))
            let report = try await check(["TL": container, name: stray])
            #expect(refusing(report) == (isRefused ? [.v016] : []), "\(name)")
            #expect(report.findings.contains { $0.code == .strayDirectory && $0.scan == name })
        }
        var source = DictionarySource(scans: ["TL": container])
        source.skipped = [SkippedEntry(path: "TL/.cache", reason: .notAScan)]
        #expect(refusing(try await DatabaseChecker(source: source).run()).isEmpty)
        source.skipped = [SkippedEntry(path: "TL/a b", reason: .notAScan)]
        #expect(refusing(try await DatabaseChecker(source: source).run()) == [.v016])
        // What is no name of one.
        for (id, isRefused) in [("3", true), ("[1]", true), ("0", false), (#""""#, false), ("null", false)] {
            let report = try await check(["flat": member(#"{"timelapse": {"id": \#(id)}}"#)])
            #expect(refusing(report) == (isRefused ? [.v016] : []), "\(id)")
        }
        #expect(refusing(try await check(["a": .good.with("timelapse.json", "{}")])) == [.v016])

        for (scan, metadata) in [
            ("TL/a", "{}"), ("TL/a", nil), ("TL/a", #"{"timelapse": {"id": "other"}}"#),
            ("flat", #"{"timelapse": {"id": "TL"}}"#),
        ] {
            let report = try await check(["TL": container, scan: member(metadata)])
            let own = report.findings.filter { $0.scan == scan }
            #expect(own.map(\.code) == [.timelapse], "\(scan) with \(metadata ?? "none")")
            #expect(own.map(\.severity) == [.error])
            #expect(report.refusals(by: .v016).contains { $0.scan == scan })
        }
    }

    @Test func oneNameInTwoPlacesIsFound() async throws {
        let container = DictionarySource.Content(kind: .timelapse, files: ["timelapse.json": "oops"])
        let report = try await check([
            "TL": container, "TL/a": .good.with("metadata/metadata.json", #"{"timelapse": {"id": "TL"}}"#),
            "a": .good,
        ])
        #expect(Set(report.findings.filter { $0.code == .duplicateScan }.map(\.scan)) == ["TL/a", "a"])
        #expect(report.findings.contains { $0.code == .invalidJSON && $0.scan == "TL" })
    }

    // MARK: Entries

    @Test func whatIsNotCarriedIsFound() async throws {
        var content = DictionarySource.Content.good.with("images/00000_rgb.jpg", nil)
        content.skipped = [
            SkippedEntry(path: "images/00000_rgb.jpg", reason: .symbolicLink),
            SkippedEntry(path: "images/fifo", reason: .specialFile),
            SkippedEntry(path: "images/a\\b", reason: .invalidName, detail: "it holds a backslash"),
            SkippedEntry(path: "closed", reason: .unreadable, detail: "Permission denied"),
        ]
        let report = try await check(["a": content])
        // The listed file is there, as a link: it is not called missing.
        #expect(
            found(report) == [
                "invalidName images/a\\b", "noImages", "specialFile images/fifo",
                "symbolicLink images/00000_rgb.jpg",
                "unreadable closed",
            ])
        #expect(report.worst == .error)
    }

    @Test func filesOlderThanArchivesAreFound() async throws {
        var content = DictionarySource.Content.good
        content.modified["images/00000_rgb.jpg"] = ModificationTime(seconds: 315_532_799)
        content.modified["scan.toml"] = ModificationTime(seconds: 315_532_800)
        #expect(found(try await check(["a": content])) == ["oldModificationTime images/00000_rgb.jpg"])
    }

    @Test func manyFindingsOfOneKindAreCountedNotListed() async throws {
        var content = DictionarySource.Content.good
        for index in 0..<250 { content.files["images/x\(index).jpg"] = "x" }
        let report = try await check(["a": content])
        #expect(report.findings.count == 101)
        #expect(report.findings.last?.message.contains("150 more") == true)
        #expect(report.counts[.warning] == 250)
    }

    // MARK: Failures

    @Test func whatCannotBeReadIsAFindingAndAnUnreachablePeerAnError() async throws {
        var broken = DictionarySource.Content.good
        broken.failure = DatabaseError(.permissionDenied, "cannot list it")
        var gone = DictionarySource.Content.good
        gone.isGone = true
        var changing = DictionarySource.Content.good
        changing.readFailure = DatabaseError(.sourceChanged, "changed", path: "files.json")
        let report = try await check(["broken": broken, "changing": changing, "gone": gone, "ok": .good])
        #expect(report.findings.map(\.code) == [.unreadable, .changedMeanwhile, .changedMeanwhile])
        #expect(report.findings.map(\.scan) == ["broken", "changing", "gone"])

        var cut = DictionarySource.Content.good
        cut.readFailure = DatabaseError(.unreachable, "the line is dead")
        await #expect(throws: DatabaseError(.unreachable, "")) { try await check(["a": cut]) }
        await #expect(throws: DatabaseError(.unreachable, "")) {
            try await DatabaseChecker(
                source: DictionarySource(listingFailure: DatabaseError(.unreachable, ""))
            ).run()
        }
    }

    @Test func onlyWhatIsSelectedIsChecked() async throws {
        let source = DictionarySource(scans: ["a": .good.with("files.json", "oops"), "b": .good])
        let report = try await DatabaseChecker(source: source, concurrentScans: 1).run { $0.rawValue == "b" }
        #expect(report.findings.isEmpty)
        #expect(report.scansChecked == 1)
    }

    @Test func aCancelledCheckSaysSo() async throws {
        let task = Task { () async -> DatabaseError? in
            withUnsafeCurrentTask { $0?.cancel() }
            do throws(DatabaseError) {
                _ = try await check(["a": .good])
                return nil
            } catch { return error }
        }
        #expect(await task.value?.code == .cancelled)
    }

    // MARK: On disk

    @Test func checksADatabaseOnDisk() async throws {
        let folder = try TemporaryDirectory()
        try SampleDatabase.plants(2).write(to: folder.appending("db"))
        let endpoint = try await FSDBEndpoint.open(
            path: folder.appending("db"), .existing, digestCacheFile: nil)
        let report = try await DatabaseChecker(source: endpoint).run()
        #expect(report.worst ?? .note < .warning, "\(report.findings)")
        #expect(report.refusals.isEmpty)
        try FileManager.default.createDirectory(
            atPath: folder.appending("db/new folder"), withIntermediateDirectories: false)
        let after = try await DatabaseChecker(source: endpoint).run()
        #expect(refusing(after) == [.v016])
        await endpoint.close()
    }

    @Test(.enabled(if: romiDataset != nil, "the ROMI data is not beside the package"))
    func checksTheGenuineDatabase() async throws {
        let endpoint = try await FSDBEndpoint.open(
            path: try #require(romiDataset), .existing, digestCacheFile: nil)
        let report = try await DatabaseChecker(source: endpoint).run()
        await endpoint.close()
        #expect(report.scansChecked == 4)
        #expect(report.refusals == [])
        let grave = report.findings.filter { $0.severity > .note }
        // `models` lists a file that is not on disk.
        #expect(grave.map(\.code) == [.missingFileset], "\(grave)")
        #expect(grave.first?.scan == "models")
    }
}

import PlantDBCore
import PlantDBTesting
import SyncEngine
import Testing

/// What one side of a comparison holds at `images/a`.
struct Side: Sendable, CustomStringConvertible {
    var kind = FileEntry.Kind.file
    var size: Int64 = 4
    /// nil: unknown. Seconds.
    var time: Double? = 1000
    var mode: UInt16? = 0o644
    /// A letter that stands for the content, where the side proves a digest.
    var content: Character?

    var description: String {
        "\(kind) \(size) bytes, time \(time.map { "\($0)" } ?? "unknown"), "
            + "mode \(mode.map { String($0, radix: 8) } ?? "unknown")"
            + (content.map { ", content \($0)" } ?? "")
    }

    func entry(_ path: String) throws -> FileEntry {
        FileEntry(
            path: try ScanPath(path), kind: kind, size: kind == .file ? size : 0,
            modified: time.map { ModificationTime(nanoseconds: Int64($0 * 1000) * 1_000_000) }, mode: mode,
            digest: kind == .file ? content.map { Digest(of: Array(String($0).utf8)) } : nil)
    }
}

/// One row: what both sides hold, what was asked for, what must come of it.
struct PlannerRow: Sendable, CustomTestStringConvertible {
    var name: String
    var source = Side()
    /// nil: the target does not have it.
    var target: Side? = Side()
    var options: @Sendable (inout SyncOptions) -> Void = { _ in }
    var precision: Int64 = 1
    var writes = EndpointCapabilities.Writes.files
    /// nil: equal, nothing to do.
    var expected: PlanAction?

    var testDescription: String { name }

    func plan() throws -> ScanPlan {
        var options = SyncOptions()
        self.options(&options)
        let planner = Planner(
            options: options, source: EndpointCapabilities(),
            target: EndpointCapabilities(writes: writes, timePrecisionNanoseconds: precision))
        let scan = try ScanID("plant")
        let folder = FileEntry(path: try ScanPath("images"), kind: .directory, size: 0)
        return try planner.plan(
            source: try ScanManifest(scan: scan, entries: [folder, source.entry("images/a")]),
            target: try ScanManifest(
                scan: scan, entries: [folder] + (target.map { [try $0.entry("images/a")] } ?? [])))
    }
}

@Suite struct PlannerTableTests {
    static let rows: [PlannerRow] = [
        .init(name: "absent on the target", target: nil, expected: .createFile),
        .init(
            name: "absent directory", source: Side(kind: .directory), target: nil,
            expected: .createDirectory),
        .init(name: "equal size and time", expected: nil),
        .init(
            name: "directories are never compared by time", source: Side(kind: .directory, time: 2000),
            target: Side(kind: .directory, time: 1000), expected: nil),
        .init(
            name: "size differs, source newer", source: Side(size: 5, time: 2000),
            expected: .replaceSizeDiffers),
        .init(
            name: "size differs, target newer: older never replaces newer", source: Side(size: 5, time: 500),
            expected: .keepTargetNewer),
        .init(
            name: "size differs, target newer, and asked for", source: Side(size: 5, time: 500),
            options: { $0.overwritesNewer = true }, expected: .replaceSizeDiffers),
        .init(
            name: "--size-only: size differs, target newer", source: Side(size: 5, time: 500),
            options: { $0.comparison = .sizeOnly }, expected: .keepTargetNewer),
        .init(
            name: "emptied at the source: nothing never replaces something",
            source: Side(size: 0, time: 2000),
            expected: .keepSourceEmpty),
        .init(
            name: "emptied at the source, --checksum", source: Side(size: 0, time: 2000, content: "e"),
            target: Side(content: "x"), options: { $0.comparison = .checksum }, expected: .replaceSizeDiffers),
        .init(
            name: "emptied at the target, and newer there", source: Side(time: 500), target: Side(size: 0),
            expected: .replaceSizeDiffers),
        .init(name: "size differs, equal time", source: Side(size: 5), expected: .replaceSizeDiffers),
        .init(name: "truncated on the target", target: Side(size: 0), expected: .replaceSizeDiffers),
        .init(name: "same size, source newer", source: Side(time: 1000.5), expected: .replaceSourceNewer),
        .init(
            name: "same size, target newer: never silently equal", source: Side(time: 999.5),
            expected: .keepTargetNewer),
        .init(name: "no time on the target", target: Side(time: nil), expected: .replaceUnproven),
        .init(name: "no time on the source", source: Side(time: nil), expected: .replaceUnproven),
        .init(
            name: "no time, equal digests", source: Side(time: nil, content: "x"), target: Side(content: "x"),
            expected: nil),
        .init(
            name: "no time, other digests", source: Side(content: "x"), target: Side(time: nil, content: "y"),
            expected: .replaceContentDiffers),
        .init(name: "mode differs", source: Side(mode: 0o600), expected: .updateAttributes),
        .init(name: "mode unknown on the source", source: Side(mode: nil), expected: nil),
        .init(name: "mode unknown on the target", target: Side(mode: nil), expected: nil),
        .init(
            name: "a file at the source, a directory at the target", target: Side(kind: .directory),
            expected: .keepKindDiffers),
        .init(
            name: "a directory at the source, a file at the target", source: Side(kind: .directory),
            expected: .keepKindDiffers),

        .init(
            name: "--checksum: equal content, equal time", source: Side(content: "x"),
            target: Side(content: "x"), options: { $0.comparison = .checksum }, expected: nil),
        .init(
            name: "--checksum: equal size and time, other content", source: Side(content: "x"),
            target: Side(content: "y"), options: { $0.comparison = .checksum },
            expected: .replaceContentDiffers),
        .init(
            name: "--checksum: equal content, other time", source: Side(time: 2000, content: "x"),
            target: Side(content: "x"), options: { $0.comparison = .checksum }, expected: .updateAttributes),
        .init(
            name: "--checksum: target newer, other content", source: Side(time: 500, content: "x"),
            target: Side(content: "y"), options: { $0.comparison = .checksum },
            expected: .replaceContentDiffers),
        .init(
            name: "--checksum: other size needs no digest", source: Side(size: 9),
            options: { $0.comparison = .checksum }, expected: .replaceSizeDiffers),

        .init(
            name: "--size-only: newer at the source", source: Side(time: 2000),
            options: { $0.comparison = .sizeOnly }, expected: nil),
        .init(
            name: "--size-only: unknown time", target: Side(time: nil),
            options: { $0.comparison = .sizeOnly }, expected: nil),
        .init(
            name: "--size-only: other size", target: Side(size: 3), options: { $0.comparison = .sizeOnly },
            expected: .replaceSizeDiffers),

        .init(
            name: "--update: target newer, same size", source: Side(time: 500),
            options: { $0.existing = .keepNewer }, expected: .keepByOption),
        .init(
            name: "--update: target newer, other size", source: Side(size: 9, time: 500),
            options: { $0.existing = .keepNewer }, expected: .keepByOption),
        .init(
            name: "--update: source newer", source: Side(time: 2000),
            options: { $0.existing = .keepNewer }, expected: .replaceSourceNewer),
        .init(
            name: "--update: equal time, other size", source: Side(size: 9),
            options: { $0.existing = .keepNewer }, expected: .replaceSizeDiffers),
        .init(
            name: "--update: absent", target: nil, options: { $0.existing = .keepNewer },
            expected: .createFile),
        .init(
            name: "--update: target newer within the precision", source: Side(size: 9, time: 1000),
            target: Side(time: 1000.9), options: { $0.existing = .keepNewer }, precision: 1_000_000_000,
            expected: .replaceSizeDiffers),

        .init(
            name: "--ignore-existing: other size", source: Side(size: 9),
            options: { $0.existing = .keepAll }, expected: .keepByOption),
        .init(
            name: "--ignore-existing: source newer", source: Side(time: 2000),
            options: { $0.existing = .keepAll }, expected: .keepByOption),
        .init(
            name: "--ignore-existing: absent", target: nil, options: { $0.existing = .keepAll },
            expected: .createFile),
        .init(name: "--ignore-existing: equal", options: { $0.existing = .keepAll }, expected: nil),

        .init(
            name: "--modify-window: within", source: Side(time: 1002),
            options: { $0.modifyWindowNanoseconds = 2_000_000_000 }, expected: nil),
        .init(
            name: "--modify-window: within, target newer", source: Side(time: 998),
            options: { $0.modifyWindowNanoseconds = 2_000_000_000 }, expected: nil),
        .init(
            name: "--modify-window: beyond", source: Side(time: 1002.5),
            options: { $0.modifyWindowNanoseconds = 2_000_000_000 }, expected: .replaceSourceNewer),
        .init(
            name: "whole seconds at the target: the fraction was lost there", source: Side(time: 1000.75),
            precision: 1_000_000_000, expected: nil),
        .init(
            name: "two-second times at the target", source: Side(time: 1001.75), precision: 2_000_000_000,
            expected: nil),
        .init(
            name: "beyond two-second times", source: Side(time: 1002.25), precision: 2_000_000_000,
            expected: .replaceSourceNewer),

        .init(
            name: "a target that takes new scans only: other size", source: Side(size: 9),
            writes: .newScans, expected: .keepUnsupported),
        .init(
            name: "a target that takes new scans only: target newer", source: Side(time: 500),
            writes: .newScans, expected: .keepTargetNewer),
        .init(
            name: "a target that takes new scans only: mode differs", source: Side(mode: 0o600),
            writes: .newScans, expected: nil),
        .init(
            name: "a target that takes new scans only: a new file in an old scan", target: nil,
            writes: .newScans, expected: .keepUnsupported),
    ]

    @Test("One entry on both sides becomes one action", arguments: rows)
    func action(_ row: PlannerRow) throws {
        let plan = try row.plan()
        let items = plan.items.filter { plan.entry(of: $0).path.rawValue == "images/a" }
        #expect(items.map(\.action) == (row.expected.map { [$0] } ?? []), "source: \(row.source)")
        let countsAsUnchanged = row.expected == nil && row.source.kind == .file
        #expect(plan.unchangedCount == (countsAsUnchanged ? 1 : 0))
        #expect(plan.hasWork == (row.expected?.isWork ?? false))
    }

    @Test("Every action stands in the table")
    func completeness() {
        // These depend on what was read or is remembered: PlannerMeaningTests.
        let others: Set<PlanAction> = [.merge, .keepTargetChanged, .keepMetadata, .keepSourceDamaged]
        #expect(Set(Self.rows.compactMap(\.expected)).union(others) == Set(PlanAction.allCases))
    }

    @Test("F-mode 14: --checksum without a usable digest is an error, never a comparison of sizes")
    func checksumWithoutDigest() {
        for (ours, theirs) in [(nil, "x"), ("x", nil), (nil, nil)] as [(Character?, Character?)] {
            let row = PlannerRow(
                name: "", source: Side(content: ours), target: Side(content: theirs),
                options: { $0.comparison = .checksum })
            #expect(throws: DatabaseError(.unsupported, "")) { try row.plan() }
        }
    }

    @Test("F-mode 12: other bytes of equal size and time are found by --checksum, and by it alone")
    func checksumFinds() throws {
        let row = PlannerRow(name: "", source: Side(content: "x"), target: Side(content: "y"))
        #expect(try !row.plan().hasWork)
        var asked = row
        asked.options = { $0.comparison = .checksum }
        #expect(try asked.plan().hasWork)
    }

    @Test("F-mode 26: a clock an hour off on either side never replaces the changed side")
    func clockSkew() throws {
        // The target was edited (same size); its clock is right, or an hour fast.
        for targetTime: Double in [1500, 5100] {
            let row = PlannerRow(name: "", source: Side(time: 1000), target: Side(time: targetTime))
            let plan = try row.plan()
            #expect(plan.items.map(\.action) == [.keepTargetNewer])
            #expect(plan.unresolvedCount == 1 && !plan.hasWork)
        }
        // With --update neither a time nor a size at the target is overwritten by older ones.
        let row = PlannerRow(
            name: "", source: Side(size: 9, time: 1000), target: Side(time: 1500),
            options: { $0.existing = .keepNewer })
        #expect(try row.plan().items.map(\.action) == [.keepByOption])
    }
}

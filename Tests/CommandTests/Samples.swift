import PlantDBCore

@testable import SyncEngine

/// Plans and reports that hold one of everything.
enum Samples {
    static func time(_ seconds: Int64) -> ModificationTime { ModificationTime(seconds: seconds) }

    /// One entry for every action, a deletion, skipped entries, and a scan that goes.
    static func plan() throws -> SyncPlan {
        let scan1 = try ScanID("plant_1")
        let names: [(String, FileEntry.Kind, Int64)] = [
            ("files.json", .file, 2048), ("images", .directory, 0), ("images/0001.jpg", .file, 1_500_000),
            ("images/0002.jpg", .file, 999), ("images/0003.jpg", .file, 12_345),
            ("images/0004.jpg", .file, 0), ("images/0005.jpg", .file, 5_000_000_000),
            ("images/0006.jpg", .file, 10), ("images/0007.jpg", .file, 11), ("images/0008.jpg", .file, 12),
            ("images/0009 ä.jpg", .file, 13),
        ]
        let manifest = try ScanManifest(
            scan: scan1,
            entries: try names.map { name, kind, size in
                FileEntry(path: try ScanPath(name), kind: kind, size: size, modified: time(1_700_000_000))
            },
            skipped: [])
        let actions: [PlanAction] = [
            .replaceSizeDiffers, .createDirectory, .createFile, .replaceSourceNewer, .replaceContentDiffers,
            .replaceUnproven, .updateAttributes, .keepTargetNewer, .keepByOption, .keepKindDiffers,
            .keepUnsupported,
        ]
        var updated = ScanPlan(
            scan: scan1, base: ScanRevision(rawValue: "r1"), source: manifest,
            items: actions.enumerated().map { .init(position: Int32($0.offset), action: $0.element) },
            deletions: [
                .init(path: try ScanPath("images/old.png"), kind: .file, size: 77),
                .init(path: try ScanPath("old"), kind: .directory, size: 0),
            ],
            unchangedCount: 1489,
            skipped: [
                SkippedEntry(path: "images/link", reason: .symbolicLink),
                SkippedEntry(
                    path: "images/\u{1b}[2J".printable, reason: .invalidName, detail: "a control character"),
            ],
            isComplete: false)
        updated.made = [.index: Array("{}".utf8)]
        let scan2 = try ScanID("plant_2")
        let new = ScanPlan(
            scan: scan2, base: nil,
            source: try ScanManifest(
                scan: scan2, entries: [FileEntry(path: .index, kind: .file, size: 20, modified: time(1))]),
            items: [.init(position: 0, action: .createFile)], deletions: [],
            unchangedCount: 0, skipped: [], isComplete: true)
        return SyncPlan(
            scans: [updated, new],
            removedScans: [
                ScanRemoval(
                    scan: try ScanID("plant_0"), base: ScanRevision(rawValue: "r0"), fileCount: 12,
                    byteCount: 3_400_000)
            ],
            failures: [
                ScanFailure(
                    scan: try ScanID("plant_9"),
                    errors: [DatabaseError(.permissionDenied, "cannot list plant_9", cause: "EACCES")])
            ],
            notices: [SyncNotice(kind: .stray, scan: "notes", message: "notes is not carried: no scan")],
            targetFileCount: 100)
    }

    static func report() throws -> SyncReport {
        var updated = ScanCounts()
        updated.filesMoved = 3
        updated.bytesMoved = 4_600_000
        updated.filesUnchanged = 57
        updated.filesDeleted = 1
        updated.filesSkipped = 1
        var failed = ScanCounts()
        failed.filesFailed = 1
        var unresolved = ScanCounts()
        unresolved.filesUnresolved = 2
        unresolved.filesUnchanged = 1000
        return SyncReport(
            runID: RunID(rawValue: "20260101T000000Z-0001"),
            scans: [
                ScanReport(
                    scan: try ScanID("plant_1"), outcome: .updated, counts: updated,
                    skipped: [SkippedEntry(path: "images/link", reason: .symbolicLink)], seconds: 0.42),
                ScanReport(
                    scan: try ScanID("plant_2"), outcome: .failed, counts: failed,
                    errors: [
                        DatabaseError(
                            .permissionDenied, "cannot read the file; look at its permissions",
                            cause: "Permission denied", path: "images/0001.jpg")
                    ], seconds: 1.5),
                ScanReport(scan: try ScanID("plant_3"), outcome: .unchanged, counts: unresolved),
                ScanReport(scan: try ScanID("plant_4"), outcome: .unchanged),
            ],
            scansUnchanged: 2, seconds: 2)
    }
}

import PlantDBCore

/// Names that are one name at the target, which does not tell upper and lower case or Unicode spellings apart
/// (exFAT, SMB, macOS). Asked for at the target, never guessed.
extension PlanMaker {
    /// The target's manifest in the source's spelling, and what is said about it.
    func spelled(_ theirs: ScanManifest, as ours: ScanManifest) async throws(DatabaseError)
        -> (ScanManifest, SyncNotice?)
    {
        let spellings = try await target.spellings(of: ours, in: theirs)
        guard let first = spellings.first else { return (theirs, nil) }
        let more = spellings.count > 1 ? " (and \(spellings.count - 1) more)" : ""
        let notice = SyncNotice(
            kind: .weakerGuarantee, scan: ours.scan.rawValue,
            message: "the target lists \(first.listed) for \(first.other) of the source\(more), "
                + "and does not tell the two apart: its name stays as it is. " + Self.advice)
        return (try theirs.respelled(spellings), notice)
    }

    /// Scans of the source that would be mixed with another of its scans, since the target has one name for
    /// both.
    func scansWithoutName(
        _ selected: [ScanSummary], among listing: DatabaseListing, _ targetListing: DatabaseListing
    ) async throws(DatabaseError) -> [ScanFailure] {
        let atTarget = Set(targetListing.scans.map(\.scan))
        let others = SpelledScans(listing.scans.map(\.scan))
        var result: [ScanFailure] = []
        for scan in selected.map(\.scan) where !atTarget.contains(scan) {
            let twin = others.twins(of: scan).first { atTarget.contains($0) }
            guard let twin, try await target.manifest(of: scan, detail: .listing) != nil else { continue }
            let error = DatabaseError(
                .alreadyExists,
                "scan \(scan) and scan \(twin) of the source are one name at the target, which does not tell "
                    + "upper and lower case or Unicode spellings apart: \(scan) was left out; rename one at "
                    + "the source", scan: scan)
            result.append(ScanFailure(scan: scan, errors: [error]))
        }
        return result
    }

    /// The scan of the source that the target has by the name `scan`; nil: the two are different, or the
    /// source has none of such a name.
    func spelling(_ scan: ScanID, among source: SpelledScans, _ targetListing: DatabaseListing)
        async throws(DatabaseError) -> ScanID?
    {
        for twin in source.twins(of: scan) where !targetListing.scans.contains(where: { $0.scan == twin }) {
            if try await target.manifest(of: twin, detail: .listing) != nil { return twin }
        }
        return nil
    }

    static let advice =
        "To have the source's spelling there too, rename it there by way of a third name"
}

/// Scans by names in which case and Unicode spellings do not count.
struct SpelledScans: Sendable {
    private let byName: [String: [ScanID]]

    init(_ scans: [ScanID]) { byName = Dictionary(grouping: scans) { $0.rawValue.folded } }

    /// The others of the same name.
    func twins(of scan: ScanID) -> [ScanID] { (byName[scan.rawValue.folded] ?? []).filter { $0 != scan } }
}

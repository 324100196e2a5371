import PlantDBCore
import Synchronization

/// What of a source is wanted: `--min-age`, `--where` and the filesets, and what is said where they
/// fit nothing.
extension PlanMaker {
    /// `--min-age` and `--where`.
    func leavingOut(_ manifest: ScanManifest) async throws(DatabaseError) -> PlannedScan? {
        let scan = manifest.scan
        try refuseFuture(manifest)
        if isTooYoung(manifest) {
            return PlannedScan(notices: [
                SyncNotice(
                    kind: .notSelected, scan: scan.rawValue,
                    message: "scan \(scan) is left alone: it changed less than the minimum age ago")
            ])
        }
        guard !options.selection.metadata.isEmpty else { return nil }
        let metadata = try await queriedMetadata(of: manifest)
        var known: Set<String> = []
        var failing: (condition: MetadataCondition, value: String?)?
        for condition in options.selection.metadata {
            let value = metadata.metadataValue(atDottedKey: condition.key)
            if value != nil { known.insert(condition.key) }
            if value != condition.value { failing = failing ?? (condition, value) }
        }
        guard let failing else { return nil }
        return PlannedScan(
            notices: [
                SyncNotice(
                    kind: .notSelected, scan: scan.rawValue,
                    message: "scan \(scan) is left alone: \(failing.condition.refusal(of: failing.value))"
                        .printable)
            ], metadataKeys: known)
    }

    /// As the queries of the release that keeps the source see them. 0.14 and 0.15 take three of them from
    /// `metadata/images.json` where that is there; for whom nobody knows, it fills in what the scan's lack.
    private func queriedMetadata(of manifest: ScanManifest) async throws(DatabaseError) -> JSONValue {
        let scan = try await document(.scanMetadata, of: manifest)?.object ?? JSONObject()
        guard let images = try await document(.imagesMetadata, of: manifest)?.object else {
            return .object(scan)
        }
        var result = scan
        let replaces = try await queriesReadImages.value(of: source)
        for key in ["object", "hardware", "acquisition_date"] where replaces || scan[key] == nil {
            result[key] = images[key] ?? (replaces ? (key == "acquisition_date" ? .null : [:]) : nil)
        }
        return .object(result)
    }

    private func document(_ path: ScanPath, of manifest: ScanManifest) async throws(DatabaseError)
        -> JSONValue?
    {
        guard let bytes = try await source.contents(of: path, in: manifest) else { return nil }
        do throws(DatabaseError) { return try JSONValue(parsing: bytes) } catch {
            throw error.locating(scan: manifest.scan, path: path.rawValue)
        }
    }

    /// Whether the source's own queries read `metadata/images.json`; asked once.
    final class QueryRule: Sendable {
        private let known = Mutex<Bool?>(nil)

        func value(of source: any DatabaseEndpoint) async throws(DatabaseError) -> Bool {
            if let known = known.withLock({ $0 }) { return known }
            var result = source.capabilities.readsImagesMetadata
            do throws(DatabaseError) {
                if let accounts = try await (source as? any AccountListing)?.accountNames() {
                    // 0.14 knows no groups.
                    result = result || accounts.groups == nil
                }
            } catch {
                // Accounts that cannot be read tell no release; plantdb check says what is wrong with them.
                if error.code == .cancelled { throw error }
            }
            known.withLock { $0 = result }
            return result
        }
    }

    /// - Throws: ``DatabaseError/Code/notFound`` for a key that no scan has: mistyped, it would look like
    ///   a database in which nothing is to be done.
    func refuseUnknownKeys(known: Set<String>) throws(DatabaseError) {
        guard let unknown = options.selection.metadata.first(where: { !known.contains($0.key) }) else {
            return
        }
        throw DatabaseError(
            .notFound,
            "none of the selected scans has “\(unknown.key)” in its metadata (--where); nothing was changed"
                .printable)
    }

    /// A value that is spelled wrong looks like this, and like success otherwise.
    func nothingSelected(of count: Int) -> SyncNotice {
        let wanted = options.selection.metadata.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
        return SyncNotice(
            kind: .nothingSelected, scan: nil,
            message: "none of the \(count) scans of the source is selected: --where \(wanted)".printable)
    }

    /// A mistyped fileset would carry hollow scans.
    ///
    /// - Throws: ``DatabaseError/Code/notFound``, as for the names of scans.
    func refusePatternsWithoutFileset(among filesets: Set<String>) throws(DatabaseError) {
        for pattern in options.selection.filesets
        where !filesets.contains(where: Glob(pattern).matches) {
            let known = filesets.sorted().prefix(5).joined(separator: ", ")
            throw DatabaseError(
                .notFound,
                ("no fileset of the selected scans is called \(pattern)"
                    + (known.isEmpty ? "" : "; there are \(known)\(filesets.count > 5 ? ", …" : "")")
                    + "; nothing was changed").printable)
        }
    }

    /// A mistyped `--exclude-fileset` carries what was meant to stay.
    func exclusionsOfNothing(among filesets: Set<String>) -> [SyncNotice] {
        options.selection.excludedFilesets.filter { !filesets.contains(where: Glob($0).matches) }.map {
            SyncNotice(
                kind: .nothingExcluded, scan: nil,
                message: "no fileset of the selected scans is called \($0) (--exclude-fileset)".printable)
        }
    }

    func isTooYoung(_ manifest: ScanManifest) -> Bool {
        guard let age = options.selection.minimumAge,
            let newest = manifest.lazy.compactMap(\.modified).max()
        else { return false }
        return Double(now.nanoseconds) - Double(newest.nanoseconds) < age / .nanoseconds(1)
    }

    /// - Throws: ``DatabaseError/Code/invalidData`` for a time so far ahead that the scan would be too young
    ///   for long, and nobody would know.
    private func refuseFuture(_ manifest: ScanManifest) throws(DatabaseError) {
        let limit = ModificationTime(nanoseconds: now.nanoseconds + 3_600_000_000_000)
        guard options.selection.minimumAge != nil,
            let entry = manifest.first(where: { $0.modified.map { $0 > limit } ?? false })
        else { return }
        throw DatabaseError(
            .invalidData,
            "\(entry.path) of scan \(manifest.scan) is dated in the future, so nobody can tell whether the scan is "
                + "older than --min-age: correct its time (touch), or the clock of who wrote it",
            scan: manifest.scan, path: entry.path.rawValue)
    }
}

extension MetadataCondition {
    /// Why a scan with that value does not meet it; nil: it has none.
    fileprivate func refusal(of found: String?) -> String {
        found.map { "its \(key) is \($0), not \(value)" } ?? "it has no \(key)"
    }
}

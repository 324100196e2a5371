import NIOCore
import PlantDBCore

/// Checks one entry of the listing.
struct ScanCheck: Sendable {
    let summary: ScanSummary
    let source: any ScanSource
    let findingLimit: Int

    func run() async throws(DatabaseError) -> ScanOutcome {
        try DatabaseError.checkCancellation(while: "checking \(summary.scan)")
        var outcome = ScanOutcome(log: FindingLog(scan: summary.scan.rawValue, limit: findingLimit))
        do throws(DatabaseError) {
            if case .stray(let reason) = summary.kind {
                try await checkStray(reason: reason, &outcome)
            } else if let manifest = try await source.manifest(of: summary.scan, detail: .listing) {
                outcome.fileCount = manifest.fileCount
                let documents = try await documents(of: manifest, &outcome)
                if summary.kind == .timelapse {
                    checkContainer(manifest, documents, &outcome)
                } else {
                    ContentCheck(manifest: manifest, documents: documents).run(&outcome)
                }
            } else {
                outcome.log.add(.warning, .changedMeanwhile, "it went away during the check; check again")
            }
        } catch {
            switch error.code {
            case .unreachable, .authentication, .cancelled: throw error
            case .sourceChanged:
                outcome.log.add(
                    .warning, .changedMeanwhile, path: error.path,
                    "it changed during the check; check again when nobody writes it")
            default:
                outcome.log.add(.error, .unreadable, path: error.path, "\(error)")
            }
        }
        return outcome
    }

    // MARK: Strays and containers

    private func checkStray(reason: String, _ outcome: inout ScanOutcome) async throws(DatabaseError) {
        StrayDirectory(name: summary.scan.rawValue, reason: reason).report(to: &outcome.log)
        // 0.15 fails where it finds metadata and no index. What a peer does not show of a
        // stray directory stays unknown.
        guard let manifest = try await source.manifest(of: summary.scan, detail: .listing) else { return }
        outcome.fileCount = manifest.fileCount
        if manifest.holds(ScanPath.metadata), manifest.entry(at: .index)?.kind != .file {
            outcome.log.add(
                .error, .missingIndex, path: ScanPath.index.rawValue,
                "it has metadata and no files.json: it looks like a scan that was not copied to the end, "
                    + "and 0.15 and later refuse to open the database; copy it again or move it away")
            outcome.log.refuse([.v015], "it has metadata, and no files.json")
        }
    }

    private func checkContainer(
        _ manifest: ScanManifest, _ documents: Documents, _ outcome: inout ScanOutcome
    ) {
        switch documents[.timelapseMarker] {
        case .json(let value) where value.object != nil: outcome.accounts = AccountCheck.Claim(value)
        case .json(let value):
            outcome.log.add(
                .warning, .wrongShape, path: ScanPath.timelapseMarker.rawValue,
                "it should be an object and is \(value.kindDescription), so servers of 0.16 and later "
                    + "answer an error for this timelapse; correct it")
        case .invalid(let error):
            outcome.log.add(
                .warning, .invalidJSON, path: ScanPath.timelapseMarker.rawValue,
                "\(error.message); servers of 0.16 and later answer an error for this timelapse; correct it")
        case .notUTF8:
            outcome.log.add(
                .warning, .invalidJSON, path: ScanPath.timelapseMarker.rawValue,
                "it is not valid UTF-8, so servers of 0.16 and later answer an error for this timelapse; "
                    + "correct it")
        case nil: break
        }
        ContentCheck(manifest: manifest, documents: documents).checkEntries(&outcome)
    }

    // MARK: JSON

    /// Every JSON file that upstream's loader reads, in one stream.
    private func documents(of manifest: ScanManifest, _ outcome: inout ScanOutcome)
        async throws(DatabaseError) -> Documents
    {
        var positions: [Int32] = []
        for (position, entry) in manifest.enumerated() where entry.kind == .file && Self.isRead(entry.path) {
            if entry.size > DatabaseChecker.jsonLimit {
                outcome.log.add(
                    .warning, .unchecked, path: entry.path.rawValue,
                    "it has \(entry.size) bytes, too many to be checked; no metadata should be that large")
            } else {
                positions.append(Int32(position))
            }
        }
        var documents = Documents()
        if positions.isEmpty { return documents }
        let selection = EntrySelection(manifest: manifest, positions: positions)
        var stream = try await source.parts(of: selection).makeAsyncIterator()
        var path: ScanPath?
        var content: [UInt8] = []
        while let part = try await stream.next() {
            switch part {
            case .begin(let entry):
                path = entry.path
                content.removeAll(keepingCapacity: true)
            case .bytes(let buffer):
                content.append(contentsOf: buffer.readableBytesView)
                if content.count > Int(DatabaseChecker.jsonLimit) {
                    throw DatabaseError(
                        .sourceChanged, "a JSON file grew during the check", scan: manifest.scan,
                        path: path?.rawValue)
                }
            case .end:
                if let path { documents.add(path, content) }
                path = nil
            }
        }
        return documents
    }

    private static func isRead(_ path: ScanPath) -> Bool {
        if path == .index || path == .timelapseMarker || path == .measures { return true }
        return path.isWithin(.metadata) && path.name.hasSuffix(".json")
    }
}

extension ScanManifest {
    /// Whether it holds `directory` itself or anything below it. O(log n).
    func holds(_ directory: ScanPath) -> Bool {
        if position(of: directory) != nil { return true }
        // The first entry that is not before “directory/” (archives list no directories).
        let prefix = directory.rawValue + "/"
        var low = startIndex
        var high = endIndex
        while low < high {
            let middle = (low + high) / 2
            if self[middle].path.rawValue.utf8.lexicographicallyPrecedes(prefix.utf8) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low < endIndex && self[low].path.isWithin(directory)
    }
}

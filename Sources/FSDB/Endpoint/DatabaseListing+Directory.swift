import Glibc
import PlantDBCore

extension DatabaseListing {
    /// What upstream's loader takes for a scan: a directory that holds the directory
    /// `metadata` and the file `files.json`; of release 0.16 and later also those in a
    /// directory with `timelapse.json`.
    static func of(_ root: Directory) throws(DatabaseError) -> DatabaseListing {
        var listing = DatabaseListing(scans: [])
        for entry in try root.entries() {
            let name = entry.text ?? String(decoding: entry.name, as: UTF8.self).printable
            let kind: FileStatus.Kind?
            if let known = entry.kind { kind = known } else { kind = try root.status(of: name)?.kind }
            if kind == .symbolicLink, !name.hasPrefix(".") {
                listing.skipped.append(SkippedEntry(path: name.printable, reason: .symbolicLink))
            }
            // Directories with a leading dot are private to whoever made them.
            guard kind == .directory, !name.hasPrefix(".") else { continue }
            try listing.add(name, isText: entry.text != nil, in: root)
        }
        return listing
    }

    private mutating func add(_ name: String, isText: Bool, in root: Directory) throws(DatabaseError) {
        guard isText else {
            skipped.append(SkippedEntry(path: name, reason: .invalidName, detail: "not valid UTF-8"))
            return
        }
        let directory: Directory
        do throws(DatabaseError) {
            guard let opened = try root.directoryIfPresent(name) else { return }
            directory = opened
        } catch {
            guard error.code == .permissionDenied else { throw error }
            skipped.append(SkippedEntry(path: name.printable, reason: .unreadable, detail: error.cause))
            return
        }
        let isContainer = try directory.status(of: ScanPath.timelapseMarker.rawValue)?.kind == .file
        let reason = isContainer ? nil : try Self.whyNotAScan(directory)
        let scan: ScanID
        do throws(DatabaseError) { scan = try ScanID(name) } catch {
            skipped.append(
                SkippedEntry(
                    path: name.printable, reason: reason == nil ? .invalidName : .notAScan,
                    detail: reason ?? error.message))
            return
        }
        if let reason {
            scans.append(ScanSummary(scan: scan, kind: .stray(reason: reason)))
            return
        }
        guard isContainer else {
            scans.append(ScanSummary(scan: scan, kind: .scan))
            return
        }
        scans.append(ScanSummary(scan: scan, kind: .timelapse))
        for entry in try directory.entries() where entry.kind ?? .directory == .directory {
            guard let memberName = entry.text, let member = try directory.directoryIfPresent(memberName)
            else {
                continue
            }
            let reason = try Self.whyNotAScan(member)
            do throws(DatabaseError) {
                let id = try scan.member(memberName)
                scans.append(ScanSummary(scan: id, kind: reason.map { .stray(reason: $0) } ?? .scan))
            } catch {
                skipped.append(
                    SkippedEntry(
                        path: "\(name)/\(memberName)".printable,
                        reason: reason == nil ? .invalidName : .notAScan, detail: reason ?? error.message))
            }
        }
    }

    /// nil if it is a scan.
    static func whyNotAScan(_ directory: Directory) throws(DatabaseError) -> String? {
        let hasMetadata = try directory.status(of: ScanPath.metadata.rawValue)?.kind == .directory
        let hasIndex = try directory.status(of: ScanPath.index.rawValue)?.kind == .file
        switch (hasMetadata, hasIndex) {
        case (true, true): return nil
        case (true, false): return "it has no files.json"
        case (false, true): return "it has no metadata directory"
        case (false, false): return "it has neither files.json nor a metadata directory"
        }
    }
}

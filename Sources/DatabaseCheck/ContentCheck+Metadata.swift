import PlantDBCore

/// What the metadata says, and what releases do where it is not as it should be.
extension ContentCheck {
    func checkMetadata(_ index: FileIndex?, _ outcome: inout ScanOutcome) {
        switch documents[.scanMetadata] {
        case .json(let value):
            outcome.accounts = AccountCheck.Claim(value)
            switch value["timelapse"] {
            case .object(let timelapse)?:
                switch timelapse["id"] {
                case .string(let name)? where !name.isEmpty: outcome.timelapse = .member(of: name)
                case let id? where id.isTruthy: outcome.timelapse = .unusable
                default: outcome.timelapse = TimelapseClaim.none
                }
            default: outcome.timelapse = TimelapseClaim.none
            }
        case .invalid, .notUTF8: outcome.timelapse = TimelapseClaim.none
        case nil:
            if manifest.position(of: .scanMetadata) == nil { outcome.timelapse = TimelapseClaim.none }
        }
        for (path, document) in documents.flawed where path != .index && path != .timelapseMarker {
            switch document {
            case .invalid(let error):
                outcome.log.add(
                    .error, .invalidJSON, path: path.rawValue,
                    "\(error.message); every release reads it as empty, and writes it so at the next change; "
                        + "correct it")
            case .notUTF8: reportUnread(path, "is not valid UTF-8", .invalidJSON, index, &outcome.log)
            case .json(let value):
                reportUnread(
                    path, "should be an object and is \(value.kindDescription)", .wrongShape, index,
                    &outcome.log)
            }
        }
        guard let index else { return }
        findOrphans(index, &outcome.log)
    }

    /// Metadata over which a release does not merely pass, as it does over broken JSON.
    private func reportUnread(
        _ path: ScanPath, _ flaw: String, _ code: Finding.Code, _ index: FileIndex?, _ log: inout FindingLog
    ) {
        let releases = releasesRefusing(path, index)
        if !releases.isEmpty { log.refuse(releases, "its \(path) \(flaw)") }
        let others =
            path.components.count == 2 ? "the fileset is dropped" : "the file it describes is dropped"
        let what =
            switch releases {
            case []: others
            case [.v014]: "0.14 refuses to open the database, with the others \(others)"
            case [.v014, .v015]:
                "0.14 and 0.15 refuse to open the database, and 0.15 empties files.json before that"
            default: "no release opens the database"
            }
        log.add(.error, code, path: path.rawValue, "it \(flaw): \(what); correct it")
    }

    private func releasesRefusing(_ path: ScanPath, _ index: FileIndex?) -> [UpstreamRelease] {
        if path == .scanMetadata || path == .measures { return UpstreamRelease.allCases }
        let components = path.components
        let id = String(path.name.dropLast(".json".count))
        switch components.count {
        case 2:
            // 0.14 and 0.15 take the scan's own metadata from it, be the fileset there or not.
            if id == "images" { return [.v014, .v015] }
            return index?.fileset(id) != nil && isPresent(id) ? [.v014] : []
        case 3:
            let fileset = String(components[1])
            guard let file = index?.fileset(fileset)?.file(id) else { return [] }
            return isPresent("\(fileset)/\(file.file)") ? [.v014] : []
        default: return []
        }
    }

    private func findOrphans(_ index: FileIndex, _ log: inout FindingLog) {
        var files: [ExactText: Set<ExactText>] = [:]
        for fileset in index.filesets {
            files[ExactText(fileset.id)] = Set(fileset.files.map { ExactText($0.id) })
        }
        for path in documents.paths where path.isWithin(.metadata) && path != .scanMetadata {
            let components = path.components
            let id = ExactText(path.name.dropLast(".json".count))
            let isKnown =
                switch components.count {
                case 2: files[id] != nil
                case 3: files[ExactText(components[1])]?.contains(id) == true
                default: true
                }
            if !isKnown {
                log.add(
                    .note, .orphanedMetadata, path: path.rawValue,
                    "it describes nothing that files.json lists; it does no harm")
            }
        }
    }
}

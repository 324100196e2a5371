import PlantDBCore

/// Compares what a scan holds with its index and its metadata.
struct ContentCheck {
    let manifest: ScanManifest
    let documents: Documents

    /// 1980-01-01 00:00 UTC, the first day that a ZIP archive can say.
    static let firstArchivableTime = ModificationTime(seconds: 315_532_800)

    func run(_ outcome: inout ScanOutcome) {
        checkIdentifier(manifest.scan.name, what: "scan", path: nil, &outcome.log)
        if !manifest.holds(.metadata) {
            outcome.log.add(
                .error, .missingMetadata, path: ScanPath.metadata.rawValue,
                "it has no directory “metadata”: 0.14 and 0.15 do not see the scan, 0.16 and later refuse "
                    + "the database; make the directory, it may be empty")
            outcome.log.refuse([.v016], "it has no directory “metadata”")
        }
        if manifest.scan.container == nil, manifest.entry(at: .timelapseMarker)?.kind == .file {
            outcome.log.add(
                .error, .timelapse, path: ScanPath.timelapseMarker.rawValue,
                "it is a scan and has the marker of a timelapse container: 0.16 and later take its filesets "
                    + "for broken scans, and refuse to open the database; remove the marker")
            outcome.log.refuse([.v016], "it is a scan and has the marker of a timelapse container")
        }
        let index = checkIndex(&outcome.log)
        checkMetadata(index, &outcome)
        if let index { compare(with: index, &outcome.log) }
        checkEntries(&outcome)
    }

    // MARK: files.json

    private func checkIndex(_ log: inout FindingLog) -> FileIndex? {
        let path = ScanPath.index.rawValue
        let advice = "restore it from a good copy, or sync the scan again"
        switch documents[.index] {
        case nil:
            // Too large or unreadable was said already.
            guard manifest.position(of: .index) == nil else { return nil }
            log.add(
                .error, .missingIndex, path: path,
                "it has no files.json: 0.14 does not see the scan, 0.15 and later refuse to open the "
                    + "database; \(advice)")
            log.refuse([.v015, .v016], "it has no files.json")
            return nil
        case .invalid(let error):
            log.add(
                .error, .invalidIndex, path: path,
                "\(error.message): no release opens the database; \(advice)")
            log.refuse(UpstreamRelease.allCases, "its files.json is not valid JSON")
            return nil
        case .notUTF8:
            log.add(
                .error, .invalidIndex, path: path,
                "it is not valid UTF-8: no release opens the database; \(advice)")
            log.refuse(UpstreamRelease.allCases, "its files.json is not valid UTF-8")
            return nil
        case .json(let value):
            do throws(DatabaseError) {
                let index = try FileIndex(value)
                for flaw in index.flaws { report(flaw, in: value, &log) }
                return index
            } catch {
                log.add(.error, .invalidIndex, path: path, "\(error.message); \(advice)")
                // 0.16 and later open it, with a scan that has no filesets.
                let opened = value["filesets"] != nil
                log.refuse(
                    opened ? [.v014, .v015] : UpstreamRelease.allCases, "its files.json is no index")
                return nil
            }
        }
    }

    private func report(_ flaw: IndexFlaw, in index: JSONValue, _ log: inout FindingLog) {
        let entry = index["filesets"]?.array?[flaw.filesetPosition]
        // 0.14 looks at no entry of a fileset whose directory is not there.
        let isLoaded = flaw.fileset.map { isPresent($0) } ?? false
        var place = "entry \(flaw.filesetPosition + 1) of “filesets”"
        if let fileset = flaw.fileset { place += " (“\(fileset.printable)”)" }
        if let position = flaw.filePosition {
            place = "entry \(position + 1) of the files of " + place
            if let file = flaw.file { place += ": “\(file.printable)”" }
        }
        let what: String
        var severity = Finding.Severity.warning
        switch flaw.kind {
        case .filesetNotAnObject:
            severity = .error
            what = "it is no object: 0.14 refuses to open the database, the others drop it"
            log.refuse([.v014], "an entry of “filesets” in its files.json is no object")
        case .fileNotAnObject:
            severity = .error
            what = "it is no object: 0.14 refuses to open the database, the others drop it"
            if isLoaded { log.refuse([.v014], "a file of its files.json is no object") }
        case .filesetWithoutID where (entry?["id"] ?? .null) != .null:
            severity = .error
            what = "its “id” is no text: 0.14 refuses to open the database, the others drop the fileset"
            log.refuse([.v014], "the id of a fileset in its files.json is no text")
        case .filesetWithoutID, .fileWithoutID:
            what = "it has no text “id”: every release drops it, and 0.15 rewrites files.json without it"
        case .filesetWithoutFiles:
            severity = .error
            what = "it has no “files”: 0.14 refuses to open the database, the others drop the fileset"
            if isLoaded { log.refuse([.v014], "a fileset of its files.json has no “files”") }
        case .filesNotAList:
            severity = .error
            what = "its “files” is no list: 0.14 refuses to open the database, the others drop the fileset"
            if isLoaded { log.refuse([.v014], "the “files” of a fileset in its files.json is no list") }
        case .fileWithoutName:
            severity = .error
            what = "it has no text “file”: 0.14 refuses to open the database, the others drop the file"
            if isLoaded { log.refuse([.v014], "a file of its files.json has no “file”") }
        case .duplicateFileset: what = "the fileset is listed twice: only the last entry is seen"
        case .duplicateFile: what = "the file's id is listed twice: only the last entry is seen"
        case .unsafeFilesetID: what = "its id is not the name of a directory in the scan"
        case .nameWithSubpath: what = "it names something in a subdirectory"
        case .nameLeavesFileset:
            severity = .error
            what = "it points out of the fileset, and servers would hand out what lies there"
        }
        log.add(severity, .indexFlaw, path: ScanPath.index.rawValue, "\(place): \(what); correct the entry")
    }

    // MARK: The index and the directories

    private func compare(with index: FileIndex, _ log: inout FindingLog) {
        var listed: Set<ScanPath> = []
        var directories: Set<ScanPath> = []
        var imageCount = 0
        for fileset in index.filesets {
            checkIdentifier(fileset.id, what: "fileset", path: fileset.id, &log)
            guard let directory = path(fileset.id, &log) else { continue }
            directories.insert(directory)
            let isThere = manifest.holds(directory)
            if !isThere, !isHidden(directory) {
                log.add(
                    .error, .missingFileset, path: directory.rawValue,
                    "files.json lists it with \(fileset.files.count) files, and there is no such directory; "
                        + "copy it again, or take it out of files.json (0.15 does that when it opens the "
                        + "database)")
            }
            for file in fileset.files {
                checkIdentifier(file.id, what: "file", path: "\(fileset.id)/\(file.file)", &log)
                // A name that leads out of the fileset was reported as a flaw of the index.
                guard let path = path("\(fileset.id)/\(file.file)", &log) else { continue }
                listed.insert(path)
                if let entry = manifest.entry(at: path), entry.kind == .file {
                    if fileset.id == "images" { imageCount += 1 }
                } else if isThere, !isHidden(path) {
                    log.add(
                        .error, .missingFile, path: path.rawValue,
                        "files.json lists it, and it is not there; copy it again, or take it out of "
                            + "files.json (0.15 does that when it opens the database)")
                }
            }
        }
        if imageCount == 0 {
            log.add(
                .note, .noImages,
                "it has no file in a fileset “images”, so servers answer an error for its details, and 0.15 "
                    + "and later refuse its upload")
        }
        findUnlisted(listed: listed, directories: directories, &log)
    }

    private func findUnlisted(listed: Set<ScanPath>, directories: Set<ScanPath>, _ log: inout FindingLog) {
        /// Directories of the scan that are no filesets: how many files each holds.
        var strays: [(name: String, fileCount: Int)] = []
        for entry in manifest {
            let top = entry.path.first
            if top.utf8.count == entry.path.rawValue.utf8.count, entry.kind == .file { continue }
            if top == "metadata" || entry.path.components.contains(where: { $0 == ScanPath.webcacheName }) {
                continue
            }
            // Entries are sorted, so those of one directory follow each other.
            if directories.contains(where: { entry.path.isWithin($0) }) {
                if entry.kind == .file, !listed.contains(entry.path) {
                    log.add(
                        .warning, .unlistedFile, path: entry.path.rawValue,
                        "it lies in a fileset, and files.json does not list it, so no release shows it; add "
                            + "it to files.json or remove it")
                }
            } else {
                if strays.last?.name != String(top) { strays.append((String(top), 0)) }
                if entry.kind == .file { strays[strays.count - 1].fileCount += 1 }
            }
        }
        for stray in strays {
            log.add(
                .warning, .unlistedDirectory, path: stray.name,
                "files.json has no such fileset, so no release shows its \(stray.fileCount) files; add it to "
                    + "files.json or remove it")
        }
    }

    /// Whether something of that name is there after all, but not carried, or might be: it is
    /// reported for itself.
    private func isHidden(_ path: ScanPath) -> Bool {
        manifest.skipped.contains { entry in
            entry.path == path.rawValue || path.rawValue.hasPrefix(entry.path + "/")
                || (entry.reason == .unreadable && entry.path.isEmpty)
        }
    }

    private func path(_ text: String, _ log: inout FindingLog) -> ScanPath? {
        do throws(DatabaseError) { return try ScanPath(text) } catch {
            log.add(.warning, .invalidName, path: text, "\(error.message); it is never synced")
            return nil
        }
    }

    private func checkIdentifier(_ id: String, what: String, path: String?, _ log: inout FindingLog) {
        if !UpstreamRelease.canAddress(id: id) {
            log.add(
                .warning, .invalidName, path: path,
                "the REST servers of no release can address the \(what) “\(id.printable)”; rename it with "
                    + "letters, digits, “_” and “-”")
            return
        }
        let refusing = UpstreamRelease.allCases.filter { !$0.canCreate(id: id) }
        if refusing.isEmpty { return }
        log.add(
            .note, .invalidName, path: path,
            "a \(what) named “\(id)” cannot be created on servers of \(refusing.map(\.rawValue).joined(separator: ", ")), "
                + "though they read it")
    }

    /// Whether something of that name is in the scan.
    func isPresent(_ path: String) -> Bool {
        // What is no path of ours was reported as a flaw of the index.
        guard let path = try? ScanPath(path) else { return false }
        return manifest.holds(path)
    }

    // MARK: Entries

    /// What does not depend on the index.
    func checkEntries(_ outcome: inout ScanOutcome) {
        for entry in manifest.skipped {
            let detail = entry.detail.map { " (\($0.printable))" } ?? ""
            switch entry.reason {
            case .symbolicLink:
                outcome.log.add(
                    .warning, .symbolicLink, path: entry.path,
                    "it is a symbolic link, which is not synced, and which breaks archives if it leads "
                        + "nowhere; put the file itself here")
            case .specialFile:
                outcome.log.add(
                    .warning, .specialFile, path: entry.path,
                    "it is neither a file nor a directory; remove it")
            case .invalidName:
                outcome.log.add(
                    .warning, .invalidName, path: entry.path,
                    "its name cannot be carried\(detail), so its scan is not synced; rename it")
            case .notAScan: break  // said of databases, never inside a scan
            case .unreadable:
                outcome.log.add(
                    .error, .unreadable, path: entry.path,
                    "it cannot be read\(detail), so nobody knows what it holds; check owner and permissions")
            }
        }
        for entry in manifest where entry.kind == .file {
            guard let modified = entry.modified, modified < Self.firstArchivableTime else { continue }
            outcome.log.add(
                .warning, .oldModificationTime, path: entry.path.rawValue,
                "it is dated before 1980, which no archive can say, so servers cannot hand out the scan as "
                    + "one; set its time with touch")
        }
    }
}

import NIOCore
import PlantDBCore

/// Reads the documents that decide what a scan means: indexes, metadata, and what is remembered of it.
///
/// Nothing is read of a scan that is equal on both sides.
extension PlanMaker {
    func findings(on draft: ScanDraft, _ planner: Planner) async throws(DatabaseError) -> ScanFindings {
        var findings = ScanFindings()
        findings.keepsMemory = memory != nil
        findings.remembers = !(memory?.isEmpty ?? true)
        if draft.isIdle { return findings }
        findings.memory = draft.target == nil ? nil : try memory?.recall(draft.source.scan)
        if let remembered = findings.memory, draft.isProven(by: remembered, options) { return findings }
        if let kinds = draft.kindsDiffer {
            findings.otherScan = kinds
            return findings
        }

        let differs = draft.items.contains { draft.source[Int($0.position)].path == .index }
        if draft.changesFiles || differs {
            findings.sourceIndex = try await index(of: draft.source, at: source)
            if let theirs = draft.target {
                let bytes = try await target.contents(of: .index, in: theirs)
                findings.targetIndex = readableIndex(bytes)
                findings.targetIndexIsDamaged =
                    findings.targetIndex == nil && theirs.position(of: .index) != nil
                // A power cut leaves nothing, or zeros.
                findings.damagedIndexHasText = bytes?.contains { $0 != 0 } ?? false
            }
        }
        let differing = draft.differingMetadata(findings.memory, settlesTold: options.metadata != .keep)
        var both = differing
        // What tells two scans apart is read wherever something would be written: it may be of one size.
        if let target = draft.target, draft.changesFiles {
            both += ScanIdentity.documents.filter {
                draft.source.position(of: $0) != nil && target.position(of: $0) != nil
            }
        }
        let theirs = try await contents(of: both, in: draft.target, at: target)
        let needed = Set(both).union(source.capabilities.showsFilesCheaply ? draft.gated : [.scanMetadata])
        var identity: [ScanPath: JSONValue] = [:]
        let ours = ScanIdentity.documents
        let scan = draft.source.scan
        try await read(needed, in: draft.source, at: source) { path, bytes throws(DatabaseError) in
            let verdict = theirs[path].map { self.compare(path, bytes, with: $0) }
            if let verdict, differing.contains(path) { findings.metadata[path] = verdict }
            if draft.source.position(of: path) != nil, ours.contains(path), verdict != nil {
                identity[path] = JSONValue(ifJSON: bytes)
            }
            if path == .scanMetadata, let metadata = JSONValue(ifJSON: bytes) {
                findings.owner = metadata["owner"]?.string
                findings.groups = metadata["sharing"]?.array?.compactMap(\.string) ?? []
            }
            if case .sourceIsDamaged = verdict { return }
            if let objection = OpenabilityGate.objection(to: path, bytes) {
                throw objection.refusal(of: path, in: scan)
            }
        }
        findings.otherScan = try await otherScan(draft, planner, findings, identity, theirs)
        return findings
    }

    // MARK: Indexes

    /// - Throws: ``DatabaseError/Code/invalidData``: a database with such an index cannot be
    ///   opened by some releases, so it is not published.
    private func index(of manifest: ScanManifest, at side: any ScanSource) async throws(DatabaseError)
        -> FileIndex?
    {
        guard let bytes = try await side.contents(of: .index, in: manifest) else { return nil }
        if let objection = OpenabilityGate.objection(to: .index, bytes) {
            throw objection.refusal(of: .index, in: manifest.scan)
        }
        return try FileIndex(parsing: bytes)
    }

    /// That of the target; nil: there is none, or none that PlantDB could read.
    private func readableIndex(_ bytes: [UInt8]?) -> FileIndex? {
        guard let bytes else { return nil }
        do throws(DatabaseError) { return try FileIndex(parsing: bytes) } catch { return nil }
    }

    // MARK: Metadata

    private func compare(_ path: ScanPath, _ ours: [UInt8], with theirs: [UInt8]) -> ScanFindings.Metadata {
        if ours == theirs { return .sameMeaning }
        let (left, right) = (JSONValue(ifJSON: ours), JSONValue(ifJSON: theirs))
        guard let left else { return right == nil ? .different(merged: nil) : .sourceIsDamaged }
        guard let right else { return .targetIsDamaged }
        if left == right { return .sameMeaning }
        guard options.metadata == .merge else { return .different(merged: nil) }
        let merged = right.merging(left)
        // As an earlier run has merged them.
        return merged == right ? .sameMeaning : .different(merged: merged.pythonBytes())
    }

    private func contents(of paths: [ScanPath], in manifest: ScanManifest?, at side: any ScanSource)
        async throws(DatabaseError) -> [ScanPath: [UInt8]]
    {
        guard let manifest else { return [:] }
        var result: [ScanPath: [UInt8]] = [:]
        try await read(Set(paths), in: manifest, at: side) { path, bytes in result[path] = bytes }
        return result
    }

    /// Calls `body` with the content of each file that the manifest has, one after the other.
    ///
    /// - Throws: ``DatabaseError/Code/invalidData`` for one of more than 64 MiB.
    private func read(
        _ paths: Set<ScanPath>, in manifest: ScanManifest, at side: any ScanSource,
        _ body: (ScanPath, [UInt8]) throws(DatabaseError) -> Void
    ) async throws(DatabaseError) {
        let positions = paths.compactMap { manifest.position(of: $0).map(Int32.init) }.sorted()
        guard !positions.isEmpty else { return }
        var current: (path: ScanPath, bytes: [UInt8])?
        var stream = try await side.parts(of: EntrySelection(manifest: manifest, positions: positions))
            .makeAsyncIterator()
        while let part = try await stream.next() {
            switch part {
            case .begin(let entry): current = entry.kind == .file ? (entry.path, []) : nil
            case .bytes(let buffer):
                current?.bytes.append(contentsOf: buffer.readableBytesView)
                if let current, current.bytes.count > 64 << 20 {
                    throw DatabaseError(
                        .invalidData, "\(current.path) of scan \(manifest.scan) is larger than 64 MiB",
                        scan: manifest.scan, path: current.path.rawValue)
                }
            case .end:
                if let current { try body(current.path, current.bytes) }
                current = nil
            }
        }
    }

    // MARK: Identity

    /// Why the target's scan of that name is another one; nil: it is the same.
    private func otherScan(
        _ draft: ScanDraft, _ planner: Planner, _ findings: ScanFindings, _ ours: [ScanPath: JSONValue],
        _ theirs: [ScanPath: [UInt8]]
    ) async throws(DatabaseError) -> String? {
        guard let target = draft.target, draft.source.position(of: .timelapseMarker) == nil else {
            return nil
        }
        let documents = ScanIdentity.documents
        switch ScanIdentity.compare(
            documents.map { ours[$0] }, documents.map { theirs[$0].flatMap(JSONValue.init(ifJSON:)) })
        {
        case .same: return nil
        case .different(let reason): return reason
        case .unknown: break
        }
        // A run brought it here, or what both have of it is one.
        if draft.hasCommonContent { return nil }
        if let known = findings.memory {
            // A run brought it here, whatever became of it since; unless names were exchanged on a side.
            for (side, manifest) in [("source", draft.source), ("target", target)]
            where !known.knows(manifest) {
                if let other = try memory?.scan(knowing: manifest) {
                    return "the \(side)'s is what \(other) was in the last run"
                }
            }
            return nil
        }
        // Files that a power cut emptied tell nothing.
        let tells = { (entry: FileEntry) in entry.isData && entry.size > 0 }
        guard draft.source.contains(where: tells), target.contains(where: tells) else { return nil }
        let pairs = draft.source.indices.lazy.compactMap { position -> (source: Int32, target: Int32)? in
            let entry = draft.source[position]
            guard entry.isData, entry.size > 0, let other = target.position(of: entry.path) else {
                return nil
            }
            let facts = target.facts(at: other)
            guard facts.kind == .file, facts.size == entry.size else { return nil }
            return (Int32(position), Int32(other))
        }
        let all = Array(pairs)
        // Spread over the scan: what was computed anew lies side by side.
        let step = max(1, all.count / Self.identityProbes)
        let probes = stride(from: 0, to: all.count, by: step).map { all[$0] }
        if !probes.isEmpty {
            let left = try await source.checksums(
                of: EntrySelection(manifest: draft.source, positions: probes.map(\.source)))
            let right = try await self.target.checksums(
                of: EntrySelection(manifest: target, positions: probes.map(\.target)))
            if zip(left, right).contains(where: ==) { return nil }
        }
        return all.count > probes.count
            ? "none of \(probes.count) files that were compared is the same"
            : "no file of the two is the same"
    }

    /// So many files of equal size are compared by content at least, to tell whether two scans are one; at
    /// most twice as many.
    private static let identityProbes = 16

    // MARK: What is said

    func notices(on plan: ScanPlan, _ findings: ScanFindings, source: ScanManifest) -> [SyncNotice] {
        var notices: [SyncNotice] = []
        let scan = plan.scan
        func say(_ kind: SyncNotice.Kind, _ message: String) {
            notices.append(SyncNotice(kind: kind, scan: scan.rawValue, message: "scan \(scan): " + message))
        }
        let index = source.position(of: .index)
        if let listed = findings.sourceIndex,
            plan.items.contains(where: { $0.action.transfersContent && Int($0.position) == index })
        {
            notices += absentFiles(of: listed, in: source)
        }
        if let reason = plan.isOtherScan {
            say(
                .otherScan,
                "the target has another scan of this name (\(reason)); both were left alone. Rename one, or "
                    + "give --displace, which puts the target's into its trash and makes the source's")
        }
        if findings.targetIndexIsDamaged {
            say(
                .weakerGuarantee,
                "files.json of the target cannot be read and is replaced"
                    + (findings.damagedIndexHasText ? " (the trash keeps it)" : "")
                    + "; what only the target has is listed no more (plantdb check lists it)")
        }
        if plan.displaced != nil {
            say(.otherScan, "the target's scan of this name is another one, and goes into the trash")
        }
        let new = plan.heldDeletions.filter { !$0.isTold }
        if let first = new.first {
            say(
                .notBrought,
                "\(new.count) \(new.count == 1 ? "file is" : "files are") only at the target "
                    + "(\(first.path)\(new.count > 1 ? ", …" : "")), and no run brought "
                    + "\(new.count == 1 ? "it" : "them"): left alone; --delete-unknown would delete "
                    + "\(new.count == 1 ? "it" : "them")")
        }
        if plan.keepsWhatGoes, !options.usesTrash, plan.filesToDelete > 0 {
            say(
                .keptInTrash,
                "\(plan.filesToDelete) \(plan.filesToDelete == 1 ? "file" : "files") of the target "
                    + "\(plan.filesToDelete == 1 ? "goes" : "go") into its trash, since nobody knows whether a run "
                    + "brought \(plan.filesToDelete == 1 ? "it" : "them")")
        }
        return notices
    }

    /// Owners and groups that nobody at the target has, or somebody else by that name.
    func unknownAccounts(_ owners: Set<String>, _ groups: Set<String>) async throws(DatabaseError)
        -> [SyncNotice]
    {
        guard !owners.isEmpty || !groups.isEmpty, let listing = target as? any AccountListing else {
            return []
        }
        let accounts: AccountNames
        do throws(DatabaseError) {
            guard let found = try await listing.accountNames() else { return [] }
            accounts = found
        } catch {
            // No scan is held back for accounts; plantdb check says what is wrong with them.
            if error.code == .cancelled { throw error }
            return []
        }
        // Every release makes these, or takes them for nobody.
        let users = owners.subtracting(accounts.users).subtracting(["anonymous", "guest", "admin"]).sorted()
        let unknown = accounts.groups.map { groups.subtracting($0).sorted() } ?? []
        return [("owner", "users.json", users), ("group", "groups.json", unknown)].filter { !$0.2.isEmpty }
            .map {
                (kind, file, names) in
                SyncNotice(
                    kind: .unknownAccount, scan: nil,
                    message: "scans come that name the \(kind)\(names.count > 1 ? "s" : "") "
                        + "\(names.joined(separator: ", ")), whom \(file) of the target does not have: they are "
                        + "nobody's there until somebody adds \(names.count > 1 ? "them" : "that name")")
            }
    }

    /// Two scans of one id, flat and in a timelapse: releases from 0.16 on would show only one of them.
    func refuseSecondIDs(_ listing: DatabaseListing, _ plan: inout SyncPlan) {
        var known: [String: ScanID] = [:]
        for summary in listing.scans where summary.kind == .scan { known[summary.scan.name] = summary.scan }
        plan.scans.removeAll { scan in
            guard scan.isNew, scan.displaced == nil, scan.source.position(of: .timelapseMarker) == nil else {
                return false
            }
            guard let other = known[scan.scan.name], other != scan.scan else {
                known[scan.scan.name] = scan.scan
                return false
            }
            plan.failures.append(
                ScanFailure(
                    scan: scan.scan,
                    errors: [
                        DatabaseError(
                            .conflict,
                            "scan \(scan.scan) would be the second one called \(scan.scan.name) in the target, "
                                + "beside \(other), and PlantDB would show only one of them: it waits until "
                                + "that one is gone (--delete, or by hand)", scan: scan.scan)
                    ]))
            return true
        }
    }
}

extension ScanIdentity {
    /// In the order in which they count.
    static let documents: [ScanPath] = [.scanMetadata, .imagesMetadata]
}

extension OpenabilityGate.Objection {
    func refusal(of path: ScanPath, in scan: ScanID) -> DatabaseError {
        switch self {
        case .wrongKind(let reason):
            DatabaseError(
                .invalidData,
                "scan \(scan) was not carried: \(reason), and would keep PlantDB from opening the target; "
                    + "repair it at the source (plantdb check)", scan: scan, path: path.rawValue)
        case .beingWritten(let reason):
            DatabaseError(
                .invalidData,
                "scan \(scan) waits for a later run: \(reason); whoever acquires it is not done, or died",
                scan: scan, path: path.rawValue)
        }
    }
}

extension JSONValue {
    /// nil: it is no JSON.
    init?(ifJSON bytes: [UInt8]) {
        do throws(DatabaseError) { try self.init(parsing: bytes) } catch { return nil }
    }

    /// Objects by key, all else as `other` has it.
    func merging(_ other: JSONValue) -> JSONValue {
        guard case .object(var result) = self, case .object(let members) = other else { return other }
        for member in members.members {
            result[member.key] = result[member.key]?.merging(member.value) ?? member.value
        }
        return .object(result)
    }
}

import NIOCore
import PlantDBCore

/// Carries out the plan of one scan: locks, stages, verifies, publishes.
struct ScanTransfer: Sendable {
    let source: any DatabaseEndpoint
    let target: any DatabaseEndpoint
    let options: SyncOptions
    let runID: RunID
    private let bandwidth: BandwidthLimit?
    private let budget: ContentBudget

    init(
        source: any DatabaseEndpoint, target: any DatabaseEndpoint, options: SyncOptions, runID: RunID
    ) {
        self.source = source
        self.target = target
        self.options = options
        self.runID = runID
        budget = ContentBudget(largeScans: options.transfers ?? 2)
        bandwidth = options.bytesPerSecond.map(BandwidthLimit.init(bytesPerSecond:))
    }

    /// Why a scan was not published.
    struct Failure: Error {
        var errors: [DatabaseError]
    }

    /// - Parameters:
    ///   - isKept: whether what goes is kept in the trash, also without `--trash`.
    ///   - displaced: another scan of that name, whose place the new one takes.
    func transactionOptions(isKept: Bool, displaced: ScanRevision? = nil) -> TransactionOptions {
        TransactionOptions(
            durability: options.durability,
            trash: options.usesTrash || isKept || displaced != nil ? runID.rawValue : nil,
            displaced: displaced, locking: options.locking == .publication ? .publication : .whole,
            verifiesContent: options.verification == .full, lockWait: options.lockWait)
    }

    /// Publishes the scan, or changes nothing and throws.
    func run(_ plan: ScanPlan, meter: ByteMeter) async throws(Failure) {
        // Before anything is held: a transaction that waits is given up by its server after a minute.
        let share = await budget.take(plan.bytesToTransfer)
        defer { budget.giveBack(share) }
        let lock: any DatabaseLock
        do throws(DatabaseError) {
            lock =
                options.locking != .publication && options.locksSource
                ? try await source.acquireLock(.scan(plan.scan), mode: .shared, wait: options.lockWait)
                : NoLock()
        } catch { throw Failure(errors: [error]) }
        let outcome: Result<Void, Failure>
        do throws(Failure) {
            try await runLocked(plan, meter: meter)
            outcome = .success(())
        } catch { outcome = .failure(error) }
        await lock.release()
        try outcome.get()
    }

    private func runLocked(_ plan: ScanPlan, meter: ByteMeter) async throws(Failure) {
        let transaction: any ScanTransaction
        do throws(DatabaseError) {
            transaction = try await target.beginTransaction(
                on: plan.scan, replacing: plan.base,
                options: transactionOptions(isKept: plan.keepsWhatGoes, displaced: plan.displaced?.base))
        } catch { throw Failure(errors: [error.locating(scan: plan.scan)]) }
        do throws(Failure) {
            try await stage(plan, in: transaction, meter: meter)
            do throws(DatabaseError) {
                try await transaction.remove(plan.deletions.map(\.path))
                try await transaction.setAttributes(
                    plan.items.filter { $0.action == .updateAttributes }.map { plan.entry(of: $0) })
                try DatabaseError.checkCancellation(while: "publishing scan \(plan.scan)")
                try await transaction.commit()
            } catch { throw Failure(errors: [error.locating(scan: plan.scan)]) }
        } catch {
            await transaction.abort()
            throw error
        }
    }

    private func stage(_ plan: ScanPlan, in transaction: any ScanTransaction, meter: ByteMeter)
        async throws(Failure)
    {
        var positions: [Int32] = []
        for item in plan.items where item.action.transfersContent || item.action == .createDirectory {
            if !plan.made.isEmpty, plan.made[plan.entry(of: item).path] != nil { continue }
            positions.append(item.position)
        }
        let selection = EntrySelection(manifest: plan.source, positions: positions)
        if !selection.isEmpty {
            try await stage(selection, in: transaction, meter: meter)
        }
        for (path, content) in plan.made.sorted(by: { $0.key < $1.key }) {
            guard let entry = plan.source.entry(at: path) else { continue }
            do throws(DatabaseError) {
                let staged = try await transaction.receive(
                    .file(entry, content: content), meter: meter)
                try check(staged, files: 1, bytes: Int64(content.count))
            } catch { throw Failure(errors: [error.locating(scan: plan.scan)]) }
        }
    }

    /// The way: in the kernel where both sides are files of this machine; from or to their
    /// descriptors where one is; as an archive where both sides know nothing else; else parts. Whoever wants content read back gets parts, whose
    /// digests are computed in passing, and so does who limits the bandwidth.
    private func stage(
        _ selection: EntrySelection, in transaction: any ScanTransaction, meter: ByteMeter
    ) async throws(Failure) {
        var (files, bytes) = (0, Int64(0))
        for index in selection.indices {
            let facts = selection.facts(at: index)
            if facts.kind == .file { files += 1 }
            bytes = bytes.addingSaturated(facts.size)
        }
        var failures: [DatabaseError] = []
        do throws(DatabaseError) {
            if bandwidth == nil, let receiver = transaction.archiveReceiver,
                let archive = try await source.archiveSource?.archive(of: selection)
            {
                try await receiver.receive(archive, meter: meter)
            } else if let outcome = try await copyFiles(selection, in: transaction, meter: meter) {
                failures = outcome.failures
                if failures.isEmpty, outcome.filesStaged != files || outcome.bytesStaged != bytes {
                    throw incomplete(files: outcome.filesStaged, of: files)
                }
            } else {
                var parts = try await source.parts(of: selection)
                if !source.capabilities.showsFilesCheaply {
                    parts = parts.passingGate(of: selection.scan)
                }
                let staged = try await transaction.receive(bandwidth?.slow(parts) ?? parts, meter: meter)
                try check(staged, files: files, bytes: bytes)
            }
        } catch { failures.append(error) }
        guard failures.isEmpty else {
            throw Failure(errors: failures.map { $0.locating(scan: selection.scan) })
        }
    }

    /// nil: neither side has files of this machine, or the bytes are to be counted in passing.
    private func copyFiles(
        _ selection: EntrySelection, in transaction: any ScanTransaction, meter: ByteMeter
    ) async throws(DatabaseError) -> LocalCopyOutcome? {
        guard bandwidth == nil else { return nil }
        if let local = source.fileSource {
            if let receiver = transaction.fileReceiver {
                return try await receiver.receive(
                    selection, from: try await local.openFiles(of: selection.scan), meter: meter)
            }
            if let sender = transaction.fileSender, options.verification != .full {
                return try await sender.send(
                    selection, from: try await local.openFiles(of: selection.scan), meter: meter)
            }
        } else if let fetcher = source.fileFetcher, let receiver = transaction.fileReceiver,
            options.verification != .full
        {
            return try await fetcher.fetch(selection, into: receiver, meter: meter)
        }
        return nil
    }

    /// What arrived is what was sent, by the receiver's own count.
    private func check(_ staged: ScanManifest, files: Int, bytes: Int64) throws(DatabaseError) {
        guard staged.fileCount == files, staged.byteCount == bytes else {
            throw incomplete(files: staged.fileCount, of: files)
        }
    }

    private func incomplete(files: Int, of expected: Int) -> DatabaseError {
        DatabaseError(
            .verificationFailed,
            "\(files) of \(expected) files arrived whole; nothing of the scan was published, run the same "
                + "command again")
    }
}

extension ScanPartStream {
    /// One file whose content is at hand.
    static func file(_ entry: FileEntry, content: [UInt8]) -> ScanPartStream {
        var entry = entry
        entry.size = Int64(content.count)
        entry.digest = nil
        let parts = PartList([.begin(entry), .bytes(ByteBuffer(bytes: content)), .end(nil)])
        return ScanPartStream { () async throws(DatabaseError) in await parts.next() }
    }

    private actor PartList {
        private var parts: ArraySlice<ScanPart>
        init(_ parts: [ScanPart]) { self.parts = parts[...] }
        func next() -> ScanPart? { parts.popFirst() }
    }
}

import PlantDBCore

/// The contract under a source and a target that fail, cut and lie: whatever happens, a scan
/// is what it was or what it was to become, and trying again finishes the work.
extension EndpointContract {
    static let faultChecks: [ContractCheck] = [
        ContractCheck("a source cut at any byte publishes nothing", [.updates]) { subject in
            let old = try SampleTree.minimal("old")
            let new = try SampleTree.plant(images: 2)
            let base = try await subject.publish(old, as: ContractNames.scan)
            for cut in stride(from: 0, to: new.byteCount, by: max(1, new.byteCount / 24)) {
                try await subject.expectError(.unreachable, when: "a source cut after \(cut) bytes") {
                    try await update(
                        subject, from: new, base: base, FaultPlan([.init(.part, .cut(afterBytes: cut))]))
                }
                try await subject.expect(ContractNames.scan, holds: old)
            }
        },
        ContractCheck("a byte corrupted on the way publishes nothing", [.updates]) { subject in
            let old = try SampleTree.minimal("old")
            let base = try await subject.publish(old, as: ContractNames.scan)
            let new = try SampleTree.plant(images: 2)
            for call in stride(from: 1, through: 14, by: 3) {
                try await subject.expectError(.verificationFailed, when: "a corrupt byte at part \(call)") {
                    try await update(
                        subject, from: new, base: base, FaultPlan([.init(.part, call: call, .corrupt)]))
                }
                try await subject.expect(ContractNames.scan, holds: old)
            }
        },
        ContractCheck("random faults leave the old or the new scan, and the next try finishes", [.updates]) {
            subject in
            for seed in TestSeed.rounds(60) {
                var generator = seed.generator
                let old = try SampleTree.random(using: &generator)
                let new = try SampleTree.random(using: &generator)
                let scan = ContractNames.scan
                let base = try await subject.publish(old, as: scan)
                do {
                    try await outcomes(subject, old: old, new: new, base: base, seed: seed)
                } catch {
                    throw ContractViolation(message: "\(seed): \(error)", file: #fileID, line: #line)
                }
                let last = try await subject.revision(of: scan)
                try await subject.endpoint.removeScan(scan, replacing: last, options: TransactionOptions())
            }
        },
    ]

    private static func outcomes(
        _ subject: ContractSubject, old: SampleTree, new: SampleTree, base: ScanRevision, seed: TestSeed
    ) async throws {
        let plan = FaultPlan.random(seed: seed.value)
        let scan = ContractNames.scan
        do {
            try await update(subject, from: new, base: base, plan)
            // A stream that ends between two files as if it were complete cannot be told
            // from a smaller selection by its receiver; the engine counts.
            if plan.faults.contains(where: { $0.effect == .endEarly }) { return }
            try await subject.expect(scan, holds: new)
        } catch is DatabaseError {
            // An answer that was lost may have been a success.
            let isLost = plan.faults.contains { fault in
                if case .failAfterwards = fault.effect { true } else { false }
            }
            do {
                try await subject.expect(scan, holds: old)
            } catch  where isLost {
                try await subject.expect(scan, holds: new)
            }
            let now = try await subject.revision(of: scan)
            try await update(subject, from: new, base: now, FaultPlan())
            try await subject.expect(scan, holds: new)
        }
    }

    /// Makes the contract's scan what `tree` is, through faults on both sides.
    private static func update(
        _ subject: ContractSubject, from tree: SampleTree, base: ScanRevision, _ plan: FaultPlan
    ) async throws {
        let scan = ContractNames.scan
        let memory = MemoryEndpoint(
            MemoryDatabase(SampleDatabase(scans: [scan: tree])), chunkSize: 256)
        let source = FaultyEndpoint(memory, plan)
        let target = FaultyEndpoint(subject.endpoint, plan)
        guard let manifest = try await memory.manifest(of: scan, detail: .listing) else { return }
        let before = try await subject.manifest(of: scan)
        let transaction = try await target.beginTransaction(
            on: scan, replacing: base, options: TransactionOptions())
        do {
            let parts = try await source.parts(of: EntrySelection(all: manifest))
            _ = try await transaction.receive(parts, meter: ByteMeter())
            let gone = before.map(\.path).filter { manifest.position(of: $0) == nil }
            try await transaction.remove(gone.reversed())
            try await transaction.commit()
        } catch {
            await transaction.abort()
            throw error
        }
    }
}

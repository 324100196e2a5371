import PlantDBCore

extension EndpointContract {
    private static func scopes(_ subject: ContractSubject) -> [LockScope] {
        subject.fixture.traits.hasScanLocks ? [.database, .scan(ContractNames.scan)] : [.database]
    }

    static let lockChecks: [ContractCheck] = [
        ContractCheck("readers share a lock", [.newScans, .locks]) { subject in
            try await subject.publish(.minimal(), as: ContractNames.scan)
            let other = try await subject.another()
            for scope in scopes(subject) {
                let one = try await subject.endpoint.acquireLock(scope, mode: .shared, wait: .zero)
                let two = try await other.acquireLock(scope, mode: .shared, wait: .zero)
                await one.release()
                await two.release()
            }
        },
        ContractCheck("a writer's lock keeps everybody else out until it is released", [.newScans, .locks]) {
            subject in
            try await subject.publish(.minimal(), as: ContractNames.scan)
            let other = try await subject.another()
            for scope in scopes(subject) {
                let lock = try await subject.endpoint.acquireLock(scope, mode: .exclusive, wait: .zero)
                for mode in [LockMode.shared, .exclusive] {
                    try await subject.expectError(.locked, when: "a \(mode) lock beside an exclusive one") {
                        try await other.acquireLock(scope, mode: mode, wait: .zero)
                    }
                }
                await lock.release()
                await lock.release()
                let next = try await other.acquireLock(scope, mode: .exclusive, wait: .zero)
                await next.release()
            }
        },
        ContractCheck("a reader's lock keeps writers out", [.newScans, .locks]) { subject in
            try await subject.publish(.minimal(), as: ContractNames.scan)
            let other = try await subject.another()
            for scope in scopes(subject) {
                let lock = try await subject.endpoint.acquireLock(scope, mode: .shared, wait: .zero)
                try await subject.expectError(.locked, when: "an exclusive lock beside a shared one") {
                    try await other.acquireLock(scope, mode: .exclusive, wait: .zero)
                }
                await lock.release()
                let next = try await other.acquireLock(scope, mode: .exclusive, wait: .zero)
                await next.release()
            }
        },
        ContractCheck("waiting for a lock ends with the wait, as locked", [.newScans, .locks]) { subject in
            let other = try await subject.another()
            let lock = try await subject.endpoint.acquireLock(.database, mode: .exclusive, wait: .zero)
            try await subject.expectError(.locked, when: "waiting in vain") {
                try await other.acquireLock(.database, mode: .exclusive, wait: .milliseconds(120))
            }
            await lock.release()
        },
        ContractCheck("whoever waits gets the lock when it is released", [.newScans, .locks]) { subject in
            let other = try await subject.another()
            for scope in scopes(subject) {
                let lock = try await subject.endpoint.acquireLock(scope, mode: .exclusive, wait: .zero)
                async let waiting = other.acquireLock(scope, mode: .exclusive, wait: .seconds(60))
                try await Task.sleep(for: .milliseconds(30))
                await lock.release()
                await (try waiting).release()
            }
        },
        ContractCheck("cancelling ends the wait for a lock", [.newScans, .locks]) { subject in
            let other = try await subject.another()
            let lock = try await subject.endpoint.acquireLock(.database, mode: .exclusive, wait: .zero)
            let waiting = Task {
                try await other.acquireLock(.database, mode: .exclusive, wait: .seconds(600))
            }
            try await Task.sleep(for: .milliseconds(20))
            waiting.cancel()
            try await subject.expectError(.cancelled, when: "waiting in a cancelled task") {
                try await waiting.value
            }
            await lock.release()
        },
        ContractCheck("locks of different scans do not meet", [.newScans, .locks]) { subject in
            let other = try await subject.another()
            let one = try await subject.endpoint.acquireLock(
                .scan(ContractNames.scan), mode: .exclusive, wait: .zero)
            let two = try await other.acquireLock(.scan(ContractNames.other), mode: .exclusive, wait: .zero)
            await one.release()
            await two.release()
        },
        ContractCheck("one scan has one transaction at a time", [.updates, .scanLocks]) { subject in
            let other = try await subject.another()
            let base = try await subject.publish(.minimal(), as: ContractNames.scan)
            let first = try await subject.endpoint.beginTransaction(
                on: ContractNames.scan, replacing: base, options: TransactionOptions())
            for endpoint in [subject.endpoint, other] {
                try await subject.expectError(.locked, when: "a second transaction on one scan") {
                    let second = try await endpoint.beginTransaction(
                        on: ContractNames.scan, replacing: base, options: TransactionOptions())
                    await second.abort()
                }
            }
            _ = try await first.receive(SampleTree.minimal("one").parts(), meter: ByteMeter())
            try await first.commit()
            let next = try await subject.revision(of: ContractNames.scan)
            try await subject.publish(
                .minimal("next"), as: ContractNames.scan, replacing: next, through: other)
        },
        ContractCheck("of two transactions on one new scan, one is published", [.newScans]) { subject in
            let trees = [try SampleTree.minimal("one"), try SampleTree.minimal("two")]
            var published: [SampleTree] = []
            var open: [(any ScanTransaction, SampleTree)] = []
            for (endpoint, tree) in zip([subject.endpoint, try await subject.another()], trees) {
                do {
                    let transaction = try await endpoint.beginTransaction(
                        on: ContractNames.scan, replacing: nil, options: TransactionOptions())
                    _ = try await transaction.receive(tree.parts(), meter: ByteMeter())
                    open.append((transaction, tree))
                } catch let error as DatabaseError where error.code == .locked {
                    // Refused early: as good.
                }
            }
            for (transaction, tree) in open {
                do {
                    try await transaction.commit()
                    published.append(tree)
                } catch let error as DatabaseError where error.code == .conflict {
                    await transaction.abort()
                }
            }
            try subject.expect(published.count == 1, "\(published.count) of two were published")
            try await subject.expect(ContractNames.scan, holds: published[0])
        },
        ContractCheck("a scan that somebody reads under a lock is not written", [.updates, .scanLocks]) {
            subject in
            let tree = try SampleTree.minimal()
            let base = try await subject.publish(tree, as: ContractNames.scan)
            let other = try await subject.another()
            let lock = try await other.acquireLock(.scan(ContractNames.scan), mode: .shared, wait: .zero)
            try await subject.expectError(.locked, when: "writing what is read") {
                try await subject.publish(.minimal("new"), as: ContractNames.scan, replacing: base)
            }
            try await subject.expectError(.locked, when: "removing what is read") {
                try await subject.endpoint.removeScan(
                    ContractNames.scan, replacing: base, options: TransactionOptions())
            }
            await lock.release()
            try await subject.expect(ContractNames.scan, holds: tree)
            try await subject.publish(.minimal("new"), as: ContractNames.scan, replacing: base)
        },
        ContractCheck("a refused transaction leaves no lock", [.newScans, .locks]) { subject in
            try await subject.publish(.minimal(), as: ContractNames.scan)
            try await subject.expectError(.conflict, when: "publishing over a scan as if it were new") {
                try await subject.publish(.minimal(), as: ContractNames.scan)
            }
            let lock = try await subject.another().acquireLock(
                .scan(ContractNames.scan), mode: .exclusive, wait: .zero)
            await lock.release()
        },
        ContractCheck(
            "held locks can be looked at; a live one is not broken without force", [.newScans, .locks]
        ) {
            subject in
            guard let inspecting = subject.endpoint as? any LockInspecting else {
                throw ContractNotApplicable(reason: "its locks cannot be looked at")
            }
            try await subject.publish(.minimal(), as: ContractNames.scan)
            for scope in scopes(subject) {
                let lock = try await subject.endpoint.acquireLock(scope, mode: .exclusive, wait: .zero)
                let held = try await inspecting.heldLocks().filter { $0.state == .live }
                try subject.expect(held.map(\.scope) == [scope], "it shows \(held)")
                guard let shown = held.first else { return }
                try subject.expect(!shown.owner.isEmpty, "nobody owns it")
                try await subject.expectError(.locked, when: "breaking a live lock") {
                    try await inspecting.breakLock(shown, force: false)
                }
                await lock.release()
                let left = try await inspecting.heldLocks().filter { $0.state == .live }
                try subject.expect(left.isEmpty, "released, it still shows \(left)")
            }
        },
    ]

    static let cancellationChecks: [ContractCheck] = [
        ContractCheck("cancelling a receipt ends it, and nothing of it is left", [.newScans]) { subject in
            let tree = try SampleTree.plant()
            var parts: [ScanPart] = []
            for try await part in tree.parts(chunk: 500) { parts.append(part) }
            let stalling = ScanPartStream(stallingAfter: Array(parts.prefix(parts.count / 2)))
            let transaction = try await subject.endpoint.beginTransaction(
                on: ContractNames.scan, replacing: nil, options: TransactionOptions())
            let meter = ByteMeter()
            let receiving = Task { try await transaction.receive(stalling, meter: meter) }
            // Cancelled in the middle where that can be seen, and at the start at worst.
            for _ in 0..<500 where meter.total == 0 { try await Task.sleep(for: .milliseconds(2)) }
            receiving.cancel()
            try await subject.expectError(.cancelled, when: "receiving in a cancelled task") {
                try await receiving.value
            }
            await transaction.abort()
            try await subject.expectAbsent(ContractNames.scan)
            try await subject.publish(tree, as: ContractNames.scan)
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("aborting works in a cancelled task", [.newScans]) { subject in
            let tree = try SampleTree.minimal()
            let transaction = try await subject.endpoint.beginTransaction(
                on: ContractNames.scan, replacing: nil, options: TransactionOptions())
            _ = try await transaction.receive(tree.parts(), meter: ByteMeter())
            let aborting = Task {
                while !Task.isCancelled { await Task.yield() }
                await transaction.abort()
            }
            aborting.cancel()
            await aborting.value
            try await subject.expectAbsent(ContractNames.scan)
            try await subject.publish(tree, as: ContractNames.scan)
        },
        ContractCheck("reading ends when its task is cancelled", [.newScans]) { subject in
            try await subject.publish(.plant(), as: ContractNames.scan)
            let manifest = try await subject.manifest(of: ContractNames.scan)
            let reading = Task {
                while !Task.isCancelled { await Task.yield() }
                return try await SampleTree(
                    collecting: subject.endpoint.parts(of: EntrySelection(all: manifest)))
            }
            reading.cancel()
            try await subject.expectError(.cancelled, when: "reading in a cancelled task") {
                try await reading.value
            }
        },
    ]
}

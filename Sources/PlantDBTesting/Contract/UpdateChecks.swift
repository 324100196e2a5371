import PlantDBCore

extension EndpointContract {
    /// The time of `SampleTree.time` and a minute: what a later change carries.
    static let later = ModificationTime(nanoseconds: SampleTree.time.nanoseconds + 60_000_000_000)

    static let updateChecks: [ContractCheck] = [
        ContractCheck("an update replaces, adds and removes, and leaves the rest alone", [.updates]) {
            subject in
            let old = try SampleTree.plant(images: 4)
            let base = try await subject.publish(old, as: ContractNames.scan)
            var change = SampleTree()
            try change.file("images/00000_rgb.jpg", "replaced", modified: later)
            try change.file("images/added.jpg", "added", modified: later)
            try change.file("metadata/images/added.json", "{}", modified: later)
            var new = old
            for (path, node) in change.nodes where node.kind == .file { new.set(path, node) }
            try new.remove("images/00001_rgb.jpg")
            try new.writeIndex(modified: later)
            try change.file("files.json", new[.index]?.content ?? [], modified: later)
            try await subject.publish(
                change, as: ContractNames.scan, replacing: base,
                removing: [try ScanPath("images/00001_rgb.jpg")])
            try await subject.expect(ContractNames.scan, holds: new)
        },
        ContractCheck("an update is invisible until the commit", [.updates]) { subject in
            let old = try SampleTree.minimal("old")
            let base = try await subject.publish(old, as: ContractNames.scan)
            try await subject.transaction(on: ContractNames.scan, replacing: base) { transaction in
                _ = try await transaction.receive(SampleTree.minimal("newer").parts(), meter: ByteMeter())
                try await transaction.remove([.index])
                try await subject.expect(ContractNames.scan, holds: old)
            }
            try await subject.expect(ContractNames.scan, holds: old)
        },
        ContractCheck("the revision changes with size, with time and with paths", [.updates]) { subject in
            var tree = try SampleTree.minimal("a")
            var seen = [try await subject.publish(tree, as: ContractNames.scan)]
            let changes: [(inout SampleTree) throws -> Void] = [
                { try $0.file("images/a.txt", "aa") },
                { try $0.file("images/a.txt", "aa", modified: later) },
                { try $0.file("images/b.txt", "b") },
            ]
            for change in changes {
                try change(&tree)
                let base = try await subject.revision(of: ContractNames.scan)
                seen.append(try await subject.publish(tree, as: ContractNames.scan, replacing: base))
            }
            try subject.expect(Set(seen).count == seen.count, "two states have one revision: \(seen)")
        },
        ContractCheck("an update made against an older state is a conflict", [.updates]) { subject in
            let base = try await subject.publish(.minimal("one"), as: ContractNames.scan)
            let second = try SampleTree.minimal("second")
            try await subject.publish(second, as: ContractNames.scan, replacing: base)
            try await subject.expectError(.conflict, when: "publishing against a stale base") {
                try await subject.publish(.minimal("third"), as: ContractNames.scan, replacing: base)
            }
            try await subject.expect(ContractNames.scan, holds: second)
            let fresh = try await subject.revision(of: ContractNames.scan)
            let fourth = try SampleTree.minimal("fourth!")
            try await subject.publish(fourth, as: ContractNames.scan, replacing: fresh)
            try await subject.expect(ContractNames.scan, holds: fourth)
        },
        ContractCheck("an update of a scan that is gone is a conflict", [.updates]) { subject in
            let base = try await subject.publish(.minimal(), as: ContractNames.scan)
            try await subject.endpoint.removeScan(
                ContractNames.scan, replacing: base, options: TransactionOptions())
            try await subject.expectError(.conflict, when: "updating a removed scan") {
                try await subject.publish(.minimal("new"), as: ContractNames.scan, replacing: base)
            }
            try await subject.expectAbsent(ContractNames.scan)
        },
        ContractCheck(
            "a change by somebody else during a transaction is a conflict at the commit", [.updates]
        ) {
            subject in
            let base = try await subject.publish(.minimal("old"), as: ContractNames.scan)
            let theirs = try SampleTree.minimal("theirs")
            try await subject.expectError(.conflict, when: "committing over somebody's change") {
                try await subject.transaction(on: ContractNames.scan, replacing: base) { transaction in
                    _ = try await transaction.receive(SampleTree.minimal("ours!").parts(), meter: ByteMeter())
                    try await subject.tamper(with: ContractNames.scan, theirs)
                    try await transaction.commit()
                }
            }
            try await subject.expect(ContractNames.scan, holds: theirs)
        },
        ContractCheck("times and modes can be set without moving a byte", [.updates]) { subject in
            var tree = try SampleTree.minimal()
            let base = try await subject.publish(tree, as: ContractNames.scan)
            let path = try ScanPath("images/a.txt")
            try tree.file("images/a.txt", "a", modified: later, mode: 0o600)
            try await subject.transaction(on: ContractNames.scan, replacing: base) { transaction in
                guard let entry = tree.entry(at: path) else { return }
                try await transaction.setAttributes([entry])
                try await transaction.commit()
            }
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("a file may be replaced by an empty one, and grow again", [.updates, .emptyFiles]) {
            subject in
            var base = try await subject.publish(.minimal("content"), as: ContractNames.scan)
            for text in ["", "content again"] {
                let tree = try SampleTree.minimal(text)
                base = try await subject.publish(tree, as: ContractNames.scan, replacing: base)
                try await subject.expect(ContractNames.scan, holds: tree)
            }
        },
        ContractCheck("an update that does nothing changes nothing", [.updates]) { subject in
            let tree = try SampleTree.plant()
            let base = try await subject.publish(tree, as: ContractNames.scan)
            try await subject.transaction(on: ContractNames.scan, replacing: base) { transaction in
                try await transaction.commit()
            }
            let after = try await subject.revision(of: ContractNames.scan)
            try subject.expect(after == base, "the revision is another")
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("an update of one scan leaves the others alone", [.updates]) { subject in
            let other = try SampleTree.plant(seed: 9)
            let untouched = try await subject.publish(other, as: ContractNames.other)
            let base = try await subject.publish(.minimal("a"), as: ContractNames.scan)
            try await subject.publish(.minimal("longer"), as: ContractNames.scan, replacing: base)
            try await subject.expect(ContractNames.other, holds: other)
            let after = try await subject.revision(of: ContractNames.other)
            try subject.expect(after == untouched, "the other scan's revision changed")
        },
    ]

    static let removalChecks: [ContractCheck] = [
        ContractCheck("removing what is not there is no error", [.updates]) { subject in
            let tree = try SampleTree.minimal()
            let base = try await subject.publish(tree, as: ContractNames.scan)
            try await subject.publish(
                SampleTree(), as: ContractNames.scan, replacing: base,
                removing: [try ScanPath("images/none"), try ScanPath("nowhere/none")])
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("directories are removed once they are empty", [.updates, .emptyDirectories]) {
            subject in
            var tree = try SampleTree.minimal()
            try tree.file("Mesh_1/mesh.ply", "ply")
            let base = try await subject.publish(tree, as: ContractNames.scan)
            try await subject.publish(
                SampleTree(), as: ContractNames.scan, replacing: base,
                removing: [try ScanPath("Mesh_1/mesh.ply"), try ScanPath("Mesh_1")])
            try tree.remove("Mesh_1")
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("a directory that still holds something stays", [.updates]) { subject in
            let tree = try SampleTree.minimal()
            let base = try await subject.publish(tree, as: ContractNames.scan)
            let transaction = try await subject.endpoint.beginTransaction(
                on: ContractNames.scan, replacing: base, options: TransactionOptions())
            // A refusal is as good as leaving it: nothing is lost either way.
            do {
                try await transaction.remove([try ScanPath("images")])
                try await transaction.commit()
            } catch is DatabaseError {}
            await transaction.abort()
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("a removed scan is gone at once, and its name is free", [.updates]) { subject in
            let base = try await subject.publish(.plant(), as: ContractNames.scan)
            let other = try SampleTree.minimal()
            try await subject.publish(other, as: ContractNames.other)
            try await subject.endpoint.removeScan(
                ContractNames.scan, replacing: base, options: TransactionOptions())
            try await subject.expectAbsent(ContractNames.scan)
            try await subject.expect(ContractNames.other, holds: other)
            let again = try SampleTree.minimal("again")
            try await subject.publish(again, as: ContractNames.scan)
            try await subject.expect(ContractNames.scan, holds: again)
        },
        ContractCheck("a scan that changed since is not removed", [.updates]) { subject in
            let base = try await subject.publish(.minimal("old"), as: ContractNames.scan)
            let new = try SampleTree.minimal("newer")
            try await subject.publish(new, as: ContractNames.scan, replacing: base)
            try await subject.expectError(.conflict, when: "removing a scan that changed") {
                try await subject.endpoint.removeScan(
                    ContractNames.scan, replacing: base, options: TransactionOptions())
            }
            try await subject.expect(ContractNames.scan, holds: new)
        },
        ContractCheck("another scan of the name is displaced, as it was planned or not at all", [.updates]) {
            subject in
            let old = try SampleTree.plant()
            let base = try await subject.publish(old, as: ContractNames.scan)
            let new = try SampleTree.minimal("another")
            for locking in TransactionOptions.Locking.allCases {
                try await subject.expectError(.conflict, when: "displacing what nobody planned to") {
                    try await subject.publish(
                        new, as: ContractNames.scan,
                        options: TransactionOptions(
                            trash: "run-0", displaced: ScanRevision(rawValue: "other"), locking: locking))
                }
            }
            try await subject.expect(ContractNames.scan, holds: old)
            try await subject.publish(
                new, as: ContractNames.scan,
                options: TransactionOptions(trash: "run-1", displaced: base, locking: .publication))
            try await subject.expect(ContractNames.scan, holds: new)
        },
        ContractCheck("an update that keeps what it replaces is whole, and so is a second one", [.updates]) {
            subject in
            let base = try await subject.publish(.plant(), as: ContractNames.scan)
            let new = try SampleTree.minimal("newer")
            let options = TransactionOptions(trash: "run-1", locking: .publication)
            let kept = try SampleTree.plant()
            var revision = try await subject.publish(
                new, as: ContractNames.scan, replacing: base, options: options)
            // The same run once more, over what it kept before.
            revision = try await subject.publish(
                kept, as: ContractNames.scan, replacing: revision, options: options)
            let now = try await subject.read(ContractNames.scan)
            for path in kept.paths {
                try subject.expect(
                    now[path]?.content == kept[path]?.content, "\(path) is not what was published")
            }
        },
        ContractCheck("who publishes locks the scan for that alone", [.updates, .scanLocks]) { subject in
            let base = try await subject.publish(.minimal(), as: ContractNames.scan)
            let other = try await subject.another()
            let options = TransactionOptions(locking: .publication)
            let new = try SampleTree.minimal("new")
            let transaction = try await subject.endpoint.beginTransaction(
                on: ContractNames.scan, replacing: base, options: options)
            _ = try await transaction.receive(new.parts(), meter: ByteMeter())
            // While it stages, others read, and even write; it finds that out.
            let lock = try await other.acquireLock(.scan(ContractNames.scan), mode: .exclusive, wait: .zero)
            await lock.release()
            try await transaction.commit()
            try await subject.expect(ContractNames.scan, holds: new)
            let next = try await subject.revision(of: ContractNames.scan)
            let late = try await subject.endpoint.beginTransaction(
                on: ContractNames.scan, replacing: next, options: options)
            _ = try await late.receive(SampleTree.minimal("late").parts(), meter: ByteMeter())
            let newest = try SampleTree.minimal("newest of all")
            try await subject.publish(newest, as: ContractNames.scan, replacing: next, through: other)
            try await subject.expectError(.conflict, when: "publishing over what somebody wrote meanwhile") {
                try await late.commit()
            }
            await late.abort()
            try await subject.expect(ContractNames.scan, holds: newest)
        },
        ContractCheck("what went to the trash is neither listed nor in the way", [.updates]) { subject in
            let options = TransactionOptions(trash: "run-1")
            let tree = try SampleTree.plant()
            let base = try await subject.publish(tree, as: ContractNames.scan)
            let revision = try await subject.publish(
                SampleTree(), as: ContractNames.scan, replacing: base,
                removing: [try ScanPath("images/00000_rgb.jpg")], options: options)
            var left = tree
            try left.remove("images/00000_rgb.jpg")
            try await subject.expect(ContractNames.scan, holds: left)
            try await subject.endpoint.removeScan(
                ContractNames.scan, replacing: revision, options: TransactionOptions(trash: "run-2"))
            try await subject.expectAbsent(ContractNames.scan)
            let listing = try await subject.endpoint.listing()
            try subject.expect(
                listing.scans.isEmpty && listing.skipped.isEmpty,
                "the listing holds \(listing.scans) and skips \(listing.skipped)")
            let again = try SampleTree.minimal()
            try await subject.publish(again, as: ContractNames.scan)
            let second = try await subject.revision(of: ContractNames.scan)
            try await subject.endpoint.removeScan(
                ContractNames.scan, replacing: second, options: TransactionOptions(trash: "run-3"))
            try await subject.expectAbsent(ContractNames.scan)
        },
    ]
}

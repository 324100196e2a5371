import PlantDBCore

extension EndpointContract {
    static let publishingChecks: [ContractCheck] = [
        ContractCheck("a new scan is invisible until the commit, and whole after it", [.newScans]) {
            subject in
            let tree = try SampleTree.plant()
            try await subject.transaction(on: ContractNames.scan) { transaction in
                let meter = ByteMeter()
                let staged = try await transaction.receive(tree.parts(), meter: meter)
                try subject.expect(
                    Set(staged.filter { $0.kind == .file }.map(\.path)) == Set(tree.filePaths),
                    "it says that it staged \(staged.map(\.path))")
                try subject.expect(meter.total == tree.byteCount, "the meter says \(meter.total) bytes")
                try await subject.expectAbsent(ContractNames.scan)
                try await transaction.commit()
            }
            try await subject.expect(ContractNames.scan, holds: tree)
            let listed = try await subject.endpoint.listing()
            try subject.expect(
                listed.scans == [ScanSummary(scan: ContractNames.scan, kind: .scan)],
                "the listing is \(listed.scans)")
        },
        ContractCheck("the receiver's own sizes and digests are returned", [.newScans]) { subject in
            let tree = try SampleTree.plant()
            try await subject.transaction(on: ContractNames.scan) { transaction in
                let staged = try await transaction.receive(
                    tree.parts(announcesDigests: false), meter: ByteMeter())
                for entry in staged where entry.kind == .file {
                    let content = tree[entry.path]?.content ?? []
                    try subject.expect(Int(entry.size) == content.count, "\(entry.path): \(entry.size) bytes")
                    try subject.expect(
                        entry.digest == nil || entry.digest == Digest(of: content),
                        "the digest of \(entry.path) is wrong")
                }
            }
        },
        ContractCheck("an aborted transaction leaves nothing, and aborting twice is once", [.newScans]) {
            subject in
            let tree = try SampleTree.plant()
            let transaction = try await subject.endpoint.beginTransaction(
                on: ContractNames.scan, replacing: nil, options: TransactionOptions())
            _ = try await transaction.receive(tree.parts(), meter: ByteMeter())
            await transaction.abort()
            await transaction.abort()
            try await subject.expectAbsent(ContractNames.scan)
            let listing = try await subject.endpoint.listing()
            try subject.expect(
                listing.scans.isEmpty && listing.skipped.isEmpty,
                "the listing holds \(listing.scans) and skips \(listing.skipped)")
            try await subject.publish(tree, as: ContractNames.scan)
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("aborting after the commit changes nothing", [.newScans]) { subject in
            let tree = try SampleTree.minimal()
            let transaction = try await subject.endpoint.beginTransaction(
                on: ContractNames.scan, replacing: nil, options: TransactionOptions())
            _ = try await transaction.receive(tree.parts(), meter: ByteMeter())
            try await transaction.commit()
            await transaction.abort()
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("several receipts of one transaction add up", [.newScans]) { subject in
            let tree = try SampleTree.plant()
            let paths = tree.paths
            try await subject.transaction(on: ContractNames.scan) { transaction in
                for part in [Array(paths.prefix(4)), Array(paths.dropFirst(4))] {
                    _ = try await transaction.receive(tree.parts(part), meter: ByteMeter())
                }
                try await transaction.commit()
            }
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("directories that no part announced are made", [.newScans]) { subject in
            var tree = try SampleTree.minimal()
            try tree.file("images/deep/deeper/x", "x")
            try tree.file("metadata/metadata.json", "{}")
            try await subject.transaction(on: ContractNames.scan) { transaction in
                _ = try await transaction.receive(tree.parts(tree.filePaths), meter: ByteMeter())
                try await transaction.commit()
            }
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("empty directories are kept, the folder metadata too", [.newScans, .emptyDirectories]) {
            subject in
            var tree = try SampleTree.minimal()
            try tree.directory("empty_fileset")
            try tree.directory("metadata/images")
            try await subject.publish(tree, as: ContractNames.scan)
            try await subject.expect(ContractNames.scan, holds: tree)
            let manifest = try await subject.manifest(of: ContractNames.scan)
            try subject.expect(
                manifest.entry(at: try ScanPath("empty_fileset"))?.kind == .directory,
                "the manifest has no empty_fileset")
        },
        ContractCheck("empty files are kept", [.newScans, .emptyFiles]) { subject in
            var tree = try SampleTree.minimal()
            try tree.file("images/zero", "")
            try await subject.publish(tree, as: ContractNames.scan)
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("times are kept at the endpoint's precision", [.newScans]) { subject in
            var tree = try SampleTree.minimal()
            // From before 1980 (ZIP's zero) to after 2038, with odd seconds and nanoseconds.
            let times = [1, 315_532_801, 1_234_567_891, 1_700_000_003, 2_200_000_001]
            for (index, seconds) in times.enumerated() {
                try tree.file(
                    "images/\(index)", "x",
                    modified: ModificationTime(seconds: Int64(seconds), nanoseconds: 987_654_321))
            }
            try await subject.publish(tree, as: ContractNames.scan)
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("modes are kept", [.newScans, .modes]) { subject in
            var tree = try SampleTree.minimal()
            for mode in [0o600, 0o640, 0o444, 0o755, 0o666] as [UInt16] {
                try tree.file("images/\(mode)", "x", mode: mode)
            }
            try tree.directory("private", mode: 0o700)
            try await subject.publish(tree, as: ContractNames.scan)
            try await subject.expect(ContractNames.scan, holds: tree)
            let manifest = try await subject.manifest(of: ContractNames.scan)
            let mode = manifest.entry(at: try ScanPath("private"))?.mode
            try subject.expect(mode == 0o700, "the directory has \(String(describing: mode))")
        },
        ContractCheck("entries without time and mode get sensible ones", [.newScans]) { subject in
            let tree = try SampleTree.minimal()
            var parts: [ScanPart] = []
            for try await part in tree.parts() {
                if case .begin(var entry) = part {
                    entry.modified = nil
                    entry.mode = nil
                    parts.append(.begin(entry))
                } else {
                    parts.append(part)
                }
            }
            try await subject.transaction(on: ContractNames.scan) { transaction in
                _ = try await transaction.receive(ScanPartStream(replaying: parts), meter: ByteMeter())
                try await transaction.commit()
            }
            for entry in try await subject.manifest(of: ContractNames.scan) where entry.kind == .file {
                let mode = entry.mode ?? 0o600
                try subject.expect(
                    mode & 0o600 == 0o600, "\(entry.path) is not its owner's to read and write")
            }
        },
        ContractCheck("a new scan where there is one already is a conflict", [.newScans]) { subject in
            let tree = try SampleTree.minimal("old")
            try await subject.publish(tree, as: ContractNames.scan)
            try await subject.expectError(.conflict, when: "publishing over a scan as if it were new") {
                try await subject.publish(.minimal("new"), as: ContractNames.scan)
            }
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("a new scan that appeared meanwhile is a conflict at the commit", [.newScans]) {
            subject in
            let theirs = try SampleTree.minimal("theirs")
            try await subject.expectError(.conflict, when: "committing over a scan that appeared") {
                try await subject.transaction(on: ContractNames.scan) { transaction in
                    _ = try await transaction.receive(SampleTree.minimal("ours").parts(), meter: ByteMeter())
                    try await subject.tamper(with: ContractNames.scan, theirs)
                    try await transaction.commit()
                }
            }
            try await subject.expect(ContractNames.scan, holds: theirs)
        },
        ContractCheck("every durability publishes the same", [.newScans]) { subject in
            let tree = try SampleTree.plant()
            for durability in TransactionOptions.Durability.allCases {
                let scan = try ScanID("plant_\(durability.rawValue)")
                try await subject.publish(tree, as: scan, options: TransactionOptions(durability: durability))
                try await subject.expect(scan, holds: tree)
            }
        },
        ContractCheck("reading back what was staged changes nothing", [.newScans]) { subject in
            let tree = try SampleTree.plant()
            try await subject.publish(
                tree, as: ContractNames.scan, options: TransactionOptions(verifiesContent: true))
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("two scans can be written at a time", [.newScans]) { subject in
            let first = try SampleTree.plant(seed: 1)
            let second = try SampleTree.plant(seed: 2)
            async let one = subject.publish(first, as: ContractNames.scan)
            async let two = subject.publish(second, as: ContractNames.other)
            _ = try await (one, two)
            try await subject.expect(ContractNames.scan, holds: first)
            try await subject.expect(ContractNames.other, holds: second)
        },
        ContractCheck("what is not offered is refused as unsupported") { subject in
            switch subject.endpoint.capabilities.writes {
            case .files: throw ContractNotApplicable(reason: "it offers everything")
            case .none:
                try await subject.expectError(.unsupported, when: "writing where nothing can be written") {
                    try await subject.publish(.minimal(), as: ContractNames.scan)
                }
            case .newScans:
                let base = try await subject.publish(.minimal(), as: ContractNames.scan)
                try await subject.expectError(.unsupported, when: "changing a scan") {
                    try await subject.publish(.minimal("b"), as: ContractNames.scan, replacing: base)
                }
                try await subject.expectError(.unsupported, when: "removing a scan") {
                    try await subject.endpoint.removeScan(
                        ContractNames.scan, replacing: base, options: TransactionOptions())
                }
            }
        },
    ]
}

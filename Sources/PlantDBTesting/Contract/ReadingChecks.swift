import NIOCore
import PlantDBCore

extension EndpointContract {
    static let readingChecks: [ContractCheck] = [
        ContractCheck("the time of the peer's machine, which is this one, is told or unknown") { subject in
            guard let time = try await subject.endpoint.currentTime() else { return }
            let here = WallClock.now
            try subject.expect(abs(time.seconds - here.seconds) < 600, "it is \(time), and here \(here)")
        },
        ContractCheck("an empty database lists no scans") { subject in
            let listing = try await subject.endpoint.listing()
            try subject.expect(listing.scans.isEmpty, "it lists \(listing.scans)")
            try subject.expect(listing.skipped.isEmpty, "it skips \(listing.skipped)")
        },
        ContractCheck("the manifest of an unknown scan is nil") { subject in
            let manifest = try await subject.endpoint.manifest(of: ContractNames.unknown, detail: .listing)
            try subject.expect(manifest == nil, "it is \(String(describing: manifest?.count)) entries")
            let member = try await subject.endpoint.manifest(of: ContractNames.member, detail: .digests)
            try subject.expect(member == nil, "an unknown member of an unknown timelapse has a manifest")
        },
        ContractCheck("scans are listed in ascending order", [.newScans]) { subject in
            for name in ["b", "a-1", "B", "_z", "a.1", "a"] {
                try await subject.publish(.minimal(name), as: try ScanID(name))
            }
            let names = try await subject.listedScans().map(\.rawValue)
            try subject.expect(names == ["B", "_z", "a", "a-1", "a.1", "b"], "the order is \(names)")
        },
        ContractCheck("a manifest says path, kind, size and time of every entry, in order", [.newScans]) {
            subject in
            let tree = try SampleTree.plant()
            try await subject.publish(tree, as: ContractNames.scan)
            let manifest = try await subject.manifest(of: ContractNames.scan)
            let files = manifest.filter { $0.kind == .file }
            try subject.expect(files.map(\.path) == tree.filePaths, "the files are \(files.map(\.path))")
            for entry in files {
                let size = tree[entry.path]?.content.count ?? -1
                try subject.expect(entry.size == size, "\(entry.path) has \(entry.size) bytes, not \(size)")
            }
            try subject.expect(manifest.isComplete, "it is incomplete: \(manifest.skipped)")
        },
        ContractCheck("digests are the SHA-256 of the content", [.newScans, .digests]) { subject in
            var tree = try SampleTree.minimal("abc")
            try tree.file("images/empty", "")
            try await subject.publish(tree, as: ContractNames.scan)
            let manifest = try await subject.manifest(of: ContractNames.scan, .digests)
            // The vectors of FIPS 180-4 for “abc” and the empty message.
            let vectors = [
                "images/a.txt": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "images/empty": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ]
            for (path, hex) in vectors {
                let digest = manifest.entry(at: try ScanPath(path))?.digest?.description
                if path == "images/empty" && !subject.fixture.traits.keepsEmptyFiles { continue }
                try subject.expect(digest == hex, "the digest of \(path) is \(digest ?? "missing")")
            }
            for entry in manifest where entry.kind == .file {
                let own = tree[entry.path].map { Digest(of: $0.content) }
                try subject.expect(entry.digest == own, "the digest of \(entry.path) is wrong")
            }
            for entry in manifest where entry.kind == .directory {
                try subject.expect(entry.digest == nil, "the directory \(entry.path) has a digest")
            }
        },
        ContractCheck("digests follow a change of equal size and time", [.updates, .digests]) { subject in
            let base = try await subject.publish(.minimal("old"), as: ContractNames.scan)
            _ = try await subject.manifest(of: ContractNames.scan, .digests)
            try await subject.publish(.minimal("new"), as: ContractNames.scan, replacing: base)
            let manifest = try await subject.manifest(of: ContractNames.scan, .digests)
            let digest = manifest.entry(at: try ScanPath("images/a.txt"))?.digest
            try subject.expect(
                digest == Digest(of: Array("new".utf8)), "the digest is not that of the new bytes")
        },
        ContractCheck("parts are those of the selection and no others", [.newScans]) { subject in
            let tree = try SampleTree.plant(images: 5)
            try await subject.publish(tree, as: ContractNames.scan)
            let manifest = try await subject.manifest(of: ContractNames.scan)
            let positions = manifest.indices.filter { $0 % 2 == 1 }.map { Int32($0) }
            let selection = EntrySelection(manifest: manifest, positions: positions)
            let read = try await SampleTree(collecting: subject.endpoint.parts(of: selection))
            for entry in selection where entry.kind == .file {
                try subject.expect(
                    read[entry.path]?.content == tree[entry.path]?.content, "\(entry.path) has other bytes")
            }
            let wanted = Set(selection.filter { $0.kind == .file }.map(\.path))
            try subject.expect(Set(read.filePaths) == wanted, "it read \(read.filePaths)")
            let nothing = EntrySelection(manifest: manifest, positions: [])
            let none = try await SampleTree(collecting: subject.endpoint.parts(of: nothing))
            try subject.expect(none.nodes.isEmpty, "an empty selection gave \(none.paths)")
        },
        ContractCheck("every call of parts gives a fresh stream", [.newScans]) { subject in
            let tree = try SampleTree.plant()
            try await subject.publish(tree, as: ContractNames.scan)
            let all = EntrySelection(all: try await subject.manifest(of: ContractNames.scan))
            var abandoned = try await subject.endpoint.parts(of: all).makeAsyncIterator()
            _ = try await abandoned.next()
            for _ in 0..<2 { try await subject.expect(ContractNames.scan, holds: tree) }
        },
        ContractCheck("a digest that a stream announces is true", [.newScans]) { subject in
            let tree = try SampleTree.plant()
            try await subject.publish(tree, as: ContractNames.scan)
            let all = EntrySelection(all: try await subject.manifest(of: ContractNames.scan))
            var path: ScanPath?
            for try await part in try await subject.endpoint.parts(of: all) {
                if case .begin(let entry) = part { path = entry.path }
                if case .end(let digest?) = part, let path, let node = tree[path] {
                    try subject.expect(digest == Digest(of: node.content), "that of \(path) is wrong")
                }
            }
        },
        ContractCheck("files larger than any buffer are read whole", [.newScans]) { subject in
            var tree = try SampleTree.minimal()
            var generator = SplitMix64(seed: 7)
            try tree.file("images/large.bin", generator.bytes((1 << 20) + 1))
            try await subject.publish(tree, as: ContractNames.scan)
            try await subject.expect(ContractNames.scan, holds: tree)
        },
        ContractCheck("one small file can be read by its path, within a limit", [.newScans]) { subject in
            let tree = try SampleTree.plant()
            try await subject.publish(tree, as: ContractNames.scan)
            let manifest = try await subject.manifest(of: ContractNames.scan)
            let content = try await subject.endpoint.contents(of: .index, in: manifest)
            try subject.expect(content == tree[.index]?.content, "files.json has other bytes")
            let absent = try await subject.endpoint.contents(of: try ScanPath("images/none"), in: manifest)
            try subject.expect(absent == nil, "a file that is not there has content")
            try await subject.expectError(.invalidData, when: "reading more than the limit") {
                try await subject.endpoint.contents(of: .index, in: manifest, limit: 10)
            }
        },
        ContractCheck("a file that changed since its manifest is not read as if it had not", [.updates]) {
            subject in
            let base = try await subject.publish(.minimal("old"), as: ContractNames.scan)
            let all = EntrySelection(all: try await subject.manifest(of: ContractNames.scan))
            try await subject.publish(.minimal("newer"), as: ContractNames.scan, replacing: base)
            try await subject.expectError(.sourceChanged, when: "reading by an old manifest") {
                try await SampleTree(collecting: subject.endpoint.parts(of: all))
            }
        },
        ContractCheck("a scan that is gone is an error to read, not an empty stream", [.updates]) { subject in
            let base = try await subject.publish(.minimal(), as: ContractNames.scan)
            let all = EntrySelection(all: try await subject.manifest(of: ContractNames.scan))
            try await subject.endpoint.removeScan(
                ContractNames.scan, replacing: base, options: TransactionOptions())
            try await subject.expectError(.sourceChanged, .notFound, when: "reading a removed scan") {
                try await SampleTree(collecting: subject.endpoint.parts(of: all))
            }
        },
        ContractCheck("a reader during a publication sees old or new bytes, never a mix", [.updates]) {
            subject in
            var old = try SampleTree.minimal()
            try old.file("images/big", Array(repeating: UInt8(ascii: "o"), count: 1 << 20))
            var new = old
            try new.file(
                "images/big", Array(repeating: UInt8(ascii: "n"), count: 1 << 20),
                modified: ModificationTime(nanoseconds: SampleTree.time.nanoseconds + 60_000_000_000))
            let base = try await subject.publish(old, as: ContractNames.scan)
            let manifest = try await subject.manifest(of: ContractNames.scan)
            let path = try ScanPath("images/big")
            guard let position = manifest.position(of: path) else {
                throw ContractViolation(message: "\(path) is missing", file: #fileID, line: #line)
            }
            let selection = EntrySelection(manifest: manifest, positions: [Int32(position)])
            var iterator = try await subject.endpoint.parts(of: selection).makeAsyncIterator()
            var bytes: [UInt8] = []
            var isCommitted = false
            do throws(DatabaseError) {
                while let part = try await iterator.next() {
                    if case .bytes(let buffer) = part { bytes.append(contentsOf: buffer.readableBytesView) }
                    if !isCommitted && !bytes.isEmpty {
                        isCommitted = true
                        let outcome: Result<ScanRevision, any Error>
                        do {
                            outcome = .success(
                                try await subject.publish(new, as: ContractNames.scan, replacing: base))
                        } catch {
                            outcome = .failure(error)
                        }
                        // A source that keeps writers out while it reads is fine too.
                        if case .failure(let error) = outcome {
                            let error = DatabaseError.wrapping(error, while: "publishing")
                            if error.code != .locked { throw error }
                        }
                    }
                }
            } catch {
                try subject.expect(error.code == .sourceChanged, "it threw \(error.code): \(error)")
                return
            }
            try subject.expect(Set(bytes).count == 1, "old and new bytes came mixed")
        },
        ContractCheck("many readers at once all read the same", [.newScans]) { subject in
            let trees = try (0..<3).map { try SampleTree.plant(images: 4, seed: UInt64($0)) }
            for (index, tree) in trees.enumerated() {
                try await subject.publish(tree, as: try ScanID("plant_\(index)"))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for reader in 0..<12 {
                    group.addTask {
                        let index = reader % 3
                        try await subject.expect(try ScanID("plant_\(index)"), holds: trees[index])
                        _ = try await subject.endpoint.listing()
                    }
                }
                try await group.waitForAll()
            }
        },
        ContractCheck("the revision is the same where nothing changed, on every connection", [.newScans]) {
            subject in
            let revision = try await subject.publish(.plant(), as: ContractNames.scan)
            let second = try await subject.revision(of: ContractNames.scan)
            try subject.expect(second == revision, "it differs on a second look")
            let other = try await subject.another()
            let again = try await other.manifest(of: ContractNames.scan, detail: .listing)?.revision
            try subject.expect(again == revision, "it differs on another connection")
            let digests = try await subject.manifest(of: ContractNames.scan, .digests).revision
            try subject.expect(digests == revision, "it differs with digests")
        },
        ContractCheck("closing twice is closing once; a new connection sees what was published", [.newScans])
        {
            subject in
            let tree = try SampleTree.plant()
            try await subject.publish(tree, as: ContractNames.scan)
            await subject.endpoint.close()
            await subject.endpoint.close()
            let other = try await subject.another()
            try await subject.expect(ContractNames.scan, holds: tree, through: other)
        },
    ]
}

import PlantDBCore

extension EndpointContract {
    static let spellingChecks: [ContractCheck] = [
        ContractCheck("what is stored is found by every spelling, and listed by its own", [.updates]) {
            subject in
            var tree = try SampleTree.minimal()
            try tree.file("images/IMG.JPG", "one")
            try await subject.publish(tree, as: ContractNames.scan)
            let names = ["images/img.jpg", "IMAGES/Img.jpg", "images", "images/img.png"]
            let paths = try names.map(ScanPath.init)
            let found = try await subject.endpoint.finds(paths, in: ContractNames.scan)
            try subject.expect(found == [true, true, true, false], "found: \(found)")
            try await subject.expectFiles(["files.json", "images/IMG.JPG", "images/a.txt"])
            let other = try ScanID(ContractNames.scan.rawValue.uppercased())
            let manifest = try await subject.endpoint.manifest(of: other, detail: .listing)
            try subject.expect(manifest != nil, "the scan is not found by another spelling")
        },
        ContractCheck("a file in another spelling replaces it, and is not removed for it", [.updates]) {
            subject in
            var tree = try SampleTree.minimal()
            try tree.file("images/IMG.JPG", "one")
            let base = try await subject.publish(tree, as: ContractNames.scan)
            var change = SampleTree()
            try change.file("images/img.jpg", "the second", modified: later)
            try await subject.publish(
                change, as: ContractNames.scan, replacing: base, removing: [try ScanPath("images/IMG.JPG")])
            try await subject.expectFiles(["files.json", "images/IMG.JPG", "images/a.txt"])
            let contents = try await subject.read(ContractNames.scan).nodes.values.map(\.content)
            try subject.expect(contents.contains(Array("the second".utf8)), "the old content")
        },
        ContractCheck("a fileset in another spelling is not removed for it", [.updates]) { subject in
            var tree = try SampleTree.minimal()
            for name in ["a", "b"] { try tree.file("Masks/\(name).png", name) }
            let base = try await subject.publish(tree, as: ContractNames.scan)
            var change = SampleTree()
            try change.file("masks/a.png", "newer a", modified: later)
            try change.file("masks/c.png", "c", modified: later)
            try await subject.publish(
                change, as: ContractNames.scan, replacing: base,
                removing: try ["Masks/b.png", "Masks/a.png", "Masks"].map(ScanPath.init))
            try await subject.expectFiles(["Masks/a.png", "Masks/c.png", "files.json", "images/a.txt"])
        },
        ContractCheck("a file that another one of the scan has the name of is refused by name", [.updates]) {
            subject in
            var tree = try SampleTree.minimal()
            try tree.file("images/IMG.JPG", "one")
            let base = try await subject.publish(tree, as: ContractNames.scan)
            var change = SampleTree()
            try change.file("images/img.jpg", "two", modified: later)
            try change.file("images/IMG.JPG", "three", modified: later)
            try await subject.expectError(.alreadyExists, .io, when: "staging both spellings") {
                try await subject.publish(change, as: ContractNames.scan, replacing: base)
            }
            try await subject.expectFiles(["files.json", "images/IMG.JPG", "images/a.txt"])
        },
    ]
}

extension ContractSubject {
    /// That the scan lists these files and no others, in whatever spelling.
    fileprivate func expectFiles(_ paths: [String], file: String = #fileID, line: Int = #line) async throws {
        let files = try await manifest(of: ContractNames.scan).filter { $0.kind == .file }
        let listed = files.map { $0.path.rawValue.folded }.sorted()
        try expect(
            listed == paths.map(\.folded).sorted(), "it lists \(files.map(\.path))", file: file, line: line)
    }
}

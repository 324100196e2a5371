import PlantDBCore

extension EndpointContract {
    /// Names that have broken synchronisers, each of which is one file in a fileset.
    private static let names: [(what: String, names: [String])] = [
        ("spaces", ["a b", " leading", "trailing ", "  "]),
        (
            "quotes and shell characters",
            ["it's", "\"quoted\"", "`x`", "$HOME", "a;b", "a&b", "a|b", "<a>", "#"]
        ),
        ("glob characters", ["*", "?", "[a]", "{a,b}", "!x"]),
        ("leading dashes and dots", ["-rf", "--", "-", ".hidden", "..a", "...", "~"]),
        ("percent and plus", ["a%20b", "%2e%2e", "a+b", "%", "%zz", "?a=b", "a&b=c"]),
        ("letters outside ASCII", ["é", "œuf", "植物", "Пшеница", "🌱", "a\u{200d}b"]),
        ("one name in both Unicode spellings", ["caf\u{e9}", "cafe\u{301}"]),
        ("names that differ in case only", ["A.jpg", "a.jpg"]),
        ("255 bytes", [String(repeating: "n", count: 255), String(repeating: "é", count: 127) + "n"]),
        ("names that mean something elsewhere", ["romidb", "lock", "users.json", "files.json", "metadata"]),
        ("names that temporaries like", ["a.tmp", "a~", ".a.swp", "a.part"]),
    ]

    static let nameChecks: [ContractCheck] =
        names.map { what, names in
            ContractCheck("names are kept: \(what)", [.newScans, .allNames]) { subject in
                var tree = try SampleTree.minimal()
                for name in names { try tree.file("images/\(name)", "content of \(name)") }
                try tree.writeIndex()
                try await subject.publish(tree, as: ContractNames.scan)
                try await subject.expect(ContractNames.scan, holds: tree)
            }
        } + [
            ContractCheck("names are kept: directories 16 deep", [.newScans, .allNames]) { subject in
                var tree = try SampleTree.minimal()
                let deep = (1..<ScanPath.maximumDepth).map { "d\($0)" }.joined(separator: "/") + "/file"
                try tree.file(deep, "deep")
                try tree.directory("-a b/[c]/é")
                try await subject.publish(tree, as: ContractNames.scan)
                try await subject.expect(ContractNames.scan, holds: tree)
            },
            ContractCheck("scan names of 1 and of 255 bytes work", [.newScans]) { subject in
                for name in ["a", "_", "9", String(repeating: "x", count: 255), "a..b", "a.-_"] {
                    let tree = try SampleTree.minimal(name)
                    try await subject.publish(tree, as: try ScanID(name))
                    try await subject.expect(try ScanID(name), holds: tree)
                }
            },
            ContractCheck("a replacement finds the file by its exact name", [.updates, .allNames]) {
                subject in
                var tree = try SampleTree.minimal()
                let twins = ["caf\u{e9}", "cafe\u{301}"]
                for name in twins { try tree.file("images/\(name)", "old") }
                let base = try await subject.publish(tree, as: ContractNames.scan)
                var change = SampleTree()
                try change.file("images/\(twins[1])", "new one", modified: later)
                try tree.file("images/\(twins[1])", "new one", modified: later)
                let removed = try ScanPath("images/\(twins[0])")
                tree.remove(removed)
                try await subject.publish(
                    change, as: ContractNames.scan, replacing: base, removing: [removed])
                try await subject.expect(ContractNames.scan, holds: tree)
            },
        ]

    private static func container() throws -> SampleTree {
        var tree = SampleTree()
        try tree.file("timelapse.json", "{}")
        try tree.file("notes.txt", "sown on Monday")
        return tree
    }

    static let timelapseChecks: [ContractCheck] = [
        ContractCheck("a timelapse is listed before its members, which are scans", [.newScans, .timelapses]) {
            subject in
            try await subject.publish(try container(), as: ContractNames.timelapse)
            try await subject.publish(.minimal("1"), as: ContractNames.member)
            try await subject.publish(.minimal("2"), as: ContractNames.secondMember)
            let listing = try await subject.endpoint.listing()
            try subject.expect(
                listing.scans == [
                    ScanSummary(scan: ContractNames.timelapse, kind: .timelapse),
                    ScanSummary(scan: ContractNames.member, kind: .scan),
                    ScanSummary(scan: ContractNames.secondMember, kind: .scan),
                ], "the listing is \(listing.scans)")
        },
        ContractCheck("a timelapse's manifest is its own files, not its members", [.newScans, .timelapses]) {
            subject in
            let tree = try container()
            try await subject.publish(tree, as: ContractNames.timelapse)
            let revision = try await subject.revision(of: ContractNames.timelapse)
            let member = try SampleTree.plant()
            try await subject.publish(member, as: ContractNames.member)
            try await subject.expect(ContractNames.timelapse, holds: tree)
            try await subject.expect(ContractNames.member, holds: member)
            let after = try await subject.revision(of: ContractNames.timelapse)
            try subject.expect(after == revision, "a new member changed the container's revision")
        },
        ContractCheck("members are updated and removed as scans are", [.updates, .timelapses]) { subject in
            let own = try container()
            try await subject.publish(own, as: ContractNames.timelapse)
            let base = try await subject.publish(.minimal("old"), as: ContractNames.member)
            let second = try SampleTree.minimal("second")
            let revision = try await subject.publish(second, as: ContractNames.member, replacing: base)
            try await subject.expect(ContractNames.member, holds: second)
            try await subject.endpoint.removeScan(
                ContractNames.member, replacing: revision, options: TransactionOptions())
            try await subject.expectAbsent(ContractNames.member)
            try await subject.expect(ContractNames.timelapse, holds: own)
        },
        ContractCheck("a timelapse is removed only once it is empty", [.updates, .timelapses]) { subject in
            let base = try await subject.publish(try container(), as: ContractNames.timelapse)
            let member = try SampleTree.minimal()
            let memberBase = try await subject.publish(member, as: ContractNames.member)
            do {
                try await subject.endpoint.removeScan(
                    ContractNames.timelapse, replacing: base, options: TransactionOptions())
                try subject.expect(false, "a timelapse went with its scans")
            } catch is DatabaseError {}
            try await subject.expect(ContractNames.member, holds: member)
            try await subject.endpoint.removeScan(
                ContractNames.member, replacing: memberBase, options: TransactionOptions())
            let empty = try await subject.revision(of: ContractNames.timelapse)
            try await subject.endpoint.removeScan(
                ContractNames.timelapse, replacing: empty, options: TransactionOptions())
            try await subject.expectAbsent(ContractNames.timelapse)
        },
    ]
}

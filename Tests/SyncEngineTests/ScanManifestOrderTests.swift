import PlantDBCore
import PlantDBTesting
import Testing

/// The order of a manifest, whatever order a listing has.
struct ScanManifestOrderTests {
    private static func manifest(_ paths: [String]) throws -> ScanManifest {
        try ScanManifest(
            scan: ScanID("scan"), entries: paths.map { FileEntry(path: try ScanPath($0), size: 1) })
    }

    /// Bytewise, as the documentation of ``ScanManifest`` has it; `String` compares otherwise.
    private static func sorted(_ paths: [String]) -> [String] {
        paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private static let awkward = [
        "a/b", "a.b", "a", "a-b/c", "a/b.c", "a0", "images/000001.jpg", "images/000001.jpeg",
        "images/0000011.jpg", "images/000001", "images/00000001_rgb.png", "images/00000001_mask.png",
        "images/e\u{301}.jpg", "images/\u{e9}.jpg", "images/zz/1", "images/zz/1/2", "z",
    ]

    @Test("Paths that begin alike, with and without a directory, come in the order of their bytes")
    func likeBeginnings() throws {
        for shift in Self.awkward.indices {
            let listed = Array(Self.awkward[shift...] + Self.awkward[..<shift])
            #expect(try Self.manifest(listed).map(\.path.rawValue) == Self.sorted(listed))
        }
    }

    @Test("Listings of directories in any order are sorted", arguments: TestSeed.rounds(100))
    func anyListing(_ seed: TestSeed) throws {
        var random = seed.generator
        let letters = ["0", "1", "a", "b", "-", ".x", "ä", "long-common-beginning-"]
        func word(_ random: inout SplitMix64) -> String {
            (0...Int.random(in: 0...5, using: &random)).map { _ in
                letters.randomElement(using: &random) ?? "0"
            }.joined()
        }
        var paths: Set<ExactText> = []
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let directory = (0..<Int.random(in: 0...3, using: &random)).map { _ in word(&random) + "/" }
                .joined()
            let beginning = Bool.random(using: &random) ? word(&random) : ""
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                paths.insert(ExactText(directory + beginning + word(&random)))
            }
        }
        var listed = paths.map(\.text).shuffled(using: &random)
        if Bool.random(using: &random) {
            // As listings come: directory by directory.
            listed.sort { $0.prefix { $0 != "/" } < $1.prefix { $0 != "/" } }
        }
        let manifest = try Self.manifest(listed)
        #expect(manifest.map(\.path.rawValue) == Self.sorted(listed), "\(seed)")
        for (index, path) in Self.sorted(listed).enumerated() {
            #expect(try manifest.position(of: ScanPath(path)) == index, "\(seed): \(path)")
            #expect(manifest.pathBytes(at: index).elementsEqual(path.utf8), "\(seed)")
        }
    }

    @Test(
        "Of two entries of one path nothing is made", arguments: [["a", "a"], ["b/c", "a", "b/d", "b/c"]])
    func twice(_ paths: [String]) {
        #expect(throws: DatabaseError.self) { try Self.manifest(paths) }
    }
}

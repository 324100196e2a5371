import PlantDBCore

/// What a generated scan consists of. Content is made when it is written, so that a recipe
/// is small and its files can be made side by side.
struct ScanRecipe: Sendable {
    struct File: Sendable {
        var id: String
        /// In the fileset's folder.
        var name: String
        var metadata: JSONValue?
        var content: @Sendable () -> [UInt8]
    }

    struct Fileset: Sendable {
        var id: String
        var metadata: JSONValue?
        var files: [File]
    }

    /// In the order of the index.
    var filesets: [Fileset]
    var metadata: JSONValue? = nil
    /// Files directly in the scan that the index does not list: `scan.toml`.
    var looseFiles: [(name: String, content: String)] = []
    /// Some of the genuine indexes end with a line feed, written by hand.
    var indexEndsWithLineFeed = false

    /// A file of the scan, by its path in it.
    struct Planned: Sendable {
        var path: String
        var content: @Sendable () -> [UInt8]
    }

    /// All files, the index last.
    func plan() -> [Planned] {
        var result: [Planned] = []
        func json(_ path: String, _ value: JSONValue) {
            result.append(Planned(path: path) { value.pythonBytes() })
        }
        for fileset in filesets {
            for file in fileset.files {
                result.append(Planned(path: "\(fileset.id)/\(file.name)", content: file.content))
            }
        }
        for fileset in filesets {
            if let metadata = fileset.metadata { json("metadata/\(fileset.id).json", metadata) }
            for file in fileset.files {
                if let metadata = file.metadata { json("metadata/\(fileset.id)/\(file.id).json", metadata) }
            }
        }
        if let metadata { json("metadata/metadata.json", metadata) }
        for (name, content) in looseFiles { result.append(Planned(path: name) { Array(content.utf8) }) }
        let index = index
        let end: [UInt8] = indexEndsWithLineFeed ? [0x0a] : []
        result.append(Planned(path: "files.json") { index.pythonBytes() + end })
        return result
    }

    private var index: JSONValue {
        [
            "filesets": .array(
                filesets.map { fileset in
                    [
                        "id": .string(fileset.id),
                        "files": .array(
                            fileset.files.map { ["id": .string($0.id), "file": .string($0.name)] }),
                    ]
                })
        ]
    }

    /// The recipe of a dataset's look-alike.
    static func lookAlike(of dataset: TestDataset, seed: UInt64, detail: TestDatabaseOptions.Detail)
        -> ScanRecipe
    {
        switch dataset {
        case .arabidopsis000: ArabidopsisViews(seed: seed, detail: detail).recipe
        case .realPlant: RealPlantViews(seed: seed, detail: detail).recipe
        case .realPlantAnalyzed: RealPlantViews(seed: seed, detail: detail).analyzedRecipe
        case .virtualPlant: VirtualPlantViews(seed: seed, detail: detail).recipe
        case .virtualPlantAnalyzed: VirtualPlantViews(seed: seed, detail: detail).analyzedRecipe
        }
    }
}

extension TestDatabaseOptions.Detail {
    /// Pixels along an edge, of as many in the genuine picture.
    func pixels(_ genuine: Int) -> Int { self == .genuine ? genuine : genuine / 8 }

    /// Vertices or points, of as many in a genuine model.
    func points(_ genuine: Int) -> Int { self == .genuine ? genuine : genuine / 64 }

    /// The edge of a voxel.
    func voxelSize(_ genuine: Double) -> Double { self == .genuine ? genuine : genuine * 8 }
}

extension String {
    /// A number with leading zeros.
    init(_ number: Int, digits: Int) {
        let text = String(number)
        self = String(repeating: "0", count: Swift.max(0, digits - text.utf8.count)) + text
    }
}

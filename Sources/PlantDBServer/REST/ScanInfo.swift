import PlantDBCore

/// What the calls "scan info" and "scans info" say of a scan.
struct ScanInfo {
    let manifest: ScanManifest
    let index: FileIndex
    /// Of the scan; empty where it has none.
    let metadata: JSONObject
    /// Ids of the files of the fileset `images` whose metadata has the channel `rgb`.
    let photos: Set<String>
    let dialect: ServedDialect
    /// Before every path: empty, or with a slash at its beginning.
    let prefix: String

    /// Each task of the analysis pipeline with its flag, in upstream's words.
    private static let flags: [(flag: String, task: String)] = [
        ("hasColmap", "Colmap"), ("hasPointCloud", "PointCloud"), ("hasTriangleMesh", "TriangleMesh"),
        ("hasCurveSkeleton", "CurveSkeleton"), ("hasTreeGraph", "TreeGraph"),
        ("hasAnglesAndInternodes", "AnglesAndInternodes"),
        ("hasAutomatedMeasures", "AnglesAndInternodes"), ("hasSegmentation2D", "Segmentation2D"),
        ("hasPcdGroundTruth", "PointCloudGroundTruth"), ("hasPointCloudEvaluation", "PointCloudEvaluation"),
        ("hasSegmentedPointCloud", "SegmentedPointCloud"),
        ("hasSegmentedPcdEvaluation", "SegmentedPointCloudEvaluation"),
    ]

    var json: JSONValue {
        let name = manifest.scan.name
        let filesets = index.filesets
        // A fileset is named after the task that made it: `PointCloud_1_0_…`.
        let tasks = JSONObject(
            filesets.map { (String($0.id.prefix { $0 != "_" }), JSONValue.string($0.id)) })
        let images = (index.fileset("images")?.files ?? []).filter { photos.contains($0.id) }
        let root = "\(prefix)/\(dialect.assets)"
        func file(_ task: String) -> JSONValue? {
            guard let id = tasks[task]?.string, let file = index.fileset(id)?.files.first else { return nil }
            return .string("\(root)files/\(manifest.scan)/\(id)/\(file.file)")
        }
        var uris = JSONObject()
        for (key, task) in [
            ("pointCloud", "PointCloud"), ("mesh", "TriangleMesh"), ("skeleton", "CurveSkeleton"),
            ("tree", "TreeGraph"),
        ] { uris[key] = file(task) }
        var info = JSONObject([
            ("id", .string(name)),
            ("metadata", metadataJSON(photoCount: images.count, root: root)),
            (
                "thumbnailUri",
                .string(images.first.map { "\(root)image/\(name)/images/\($0.id)?size=orig" } ?? "")
            ),
            ("images", .array(images.map { .string($0.file) })),
            ("tasks_fileset", .object(tasks)), ("filesUri", .object(uris)),
            ("isVirtual", .bool(tasks["VirtualPlant"] != nil)),
        ])
        for (flag, task) in Self.flags { info[flag] = .bool(tasks[task] != nil) }
        info["hasManualMeasures"] = .bool(manifest.contains { $0.path.rawValue == "measures.json" })
        info["error"] = false
        info["workspace"] = metadata["scanner"]?["workspace"] ?? .null
        info["camera"] = .object(JSONObject())
        return .object(info)
    }

    private func metadataJSON(photoCount: Int, root: String) -> JSONValue {
        let object = metadata["object"]
        let (species, plant, environment): (JSONValue?, JSONValue?, JSONValue?) =
            switch dialect {
            case .root: (object?["species"], object?["plant_id"], object?["environment"])
            case .v1:
                (
                    metadata["biologicalMaterial"]?["organism"]?["species"] ?? object?["species"],
                    metadata["biologicalMaterial"]?["biologicalMaterialId"] ?? object?["plant_id"],
                    metadata["study"]?["growthFacility"]?["name"] ?? object?["environment"]
                )
            }
        // The one form that upstream's clients read: date, space, time.
        var date = metadata["acquisition_date"]?.string
        if date?.split(separator: " ").count != 2 {
            date = manifest.entry(at: .index)?.modified?.calendarText
        }
        return [
            "date": .string(date ?? ""), "species": species ?? "N/A", "plant": plant ?? "N/A",
            "environment": environment ?? "N/A", "nbPhotos": .number(photoCount),
            "files": [
                "metadata": .string("\(root)files/\(manifest.scan)/metadata/metadata.json"),
                "archive": .string("\(root)archive/\(manifest.scan.name)"),
            ],
        ]
    }
}

import PlantDBCore

/// What the task `Colmap` leaves: cameras, poses and a sparse point cloud.
///
/// Genuine runs also leave figures and `euclidean_distances.json` that the index does not
/// list; a look-alike has none, so that it is a database without flaws.
struct ColmapOutput: Sendable {
    /// The surface of the plant, and what was seen of it.
    private let points: [Vector]
    /// By file name.
    private let cameras: [(String, Camera)]
    private let detail: TestDatabaseOptions.Detail
    private let seed: UInt64

    init(plant: PlantModel, cameras: [(String, Camera)], detail: TestDatabaseOptions.Detail, seed: UInt64) {
        let mesh = SurfaceMesh(of: plant, vertexCount: 9_000)
        var random = SeededNumbers(seed: seed, "sparse")
        points = (0..<detail.points(6_400)).map { _ in
            // Noise of half a millimetre.
            let noise = Vector(
                random.double(-0.5...0.5), random.double(-0.5...0.5), random.double(-0.5...0.5))
            return mesh.vertices[random.below(mesh.vertices.count)] + noise
        }
        self.cameras = cameras
        self.detail = detail
        self.seed = seed
    }

    static func cameraModel(focal: Double, width: Int, height: Int) -> JSONValue {
        let distortion = JSONValue.number(-0.001357)
        return [
            "height": .number(height), "id": 1, "model": "OPENCV",
            "params": [
                .number(focal), .number(focal), .number(Double(width) / 2), .number(Double(height) / 2),
                distortion,
                distortion, 0.0, 0.0,
            ], "width": .number(width),
        ]
    }

    var boundingBox: JSONValue {
        func bounds(_ values: [Double]) -> JSONValue {
            // A plant has points.
            [.number(values.min() ?? 0), .number(values.max() ?? 0)]
        }
        return ["x": bounds(points.map(\.x)), "y": bounds(points.map(\.y)), "z": bounds(points.map(\.z))]
    }

    var files: [ScanRecipe.File] {
        func json(_ id: String, _ value: @escaping @Sendable () -> JSONValue) -> ScanRecipe.File {
            ScanRecipe.File(id: id, name: id + ".json", metadata: nil) {
                value().pythonBytes(sortedKeys: false)
            }
        }
        func log(_ id: String) -> ScanRecipe.File {
            ScanRecipe.File(id: id, name: id + ".log", metadata: nil) {
                Array("look-alike: \(id) was not run\n".utf8)
            }
        }
        return [
            json("points3d") { pointsJSON }, json("images") { imagesJSON }, json("cameras") { camerasJSON },
            ScanRecipe.File(id: "sparse", name: "sparse.ply", metadata: nil) {
                PLYWriter.pointCloud(points, normals: nil, colors: points.indices.map { color($0) })
            },
            log("exhaustive_matcher"), log("feature_extractor"), log("mapper"), log("model_aligner"),
        ]
    }

    private func color(_ point: Int) -> [UInt8] {
        [UInt8(90 + point % 60), UInt8(120 + point % 50), UInt8(40 + point % 30)]
    }

    /// Every point is seen in four pictures next to each other.
    private func views(of point: Int) -> Range<Int> {
        let first = point % max(1, cameras.count - 3)
        return first..<min(cameras.count, first + 4)
    }

    private var pointsJSON: JSONValue {
        .object(
            JSONObject(
                points.indices.map { point in
                    let views = views(of: point)
                    return (
                        String(point + 1),
                        [
                            "id": .number(point + 1), "xyz": points[point].json,
                            "rgb": .array(color(point).map { .number(Int($0)) }),
                            "error": .number(0.2 + Double(point % 97) / 100),
                            "image_ids": .array(views.map { .number($0 + 1) }),
                            "point2D_idxs": .array(views.map { _ in .number(point / cameras.count) }),
                        ] as JSONValue
                    )
                }))
    }

    private var imagesJSON: JSONValue {
        var seen = [[Int]](repeating: [], count: cameras.count)
        for point in points.indices { for view in views(of: point) { seen[view].append(point) } }
        return .object(
            JSONObject(
                cameras.enumerated().map { view, entry in
                    let (name, camera) = entry
                    let places = seen[view].map { camera.project(points[$0]) ?? (0, 0, 0) }
                    return (
                        name,
                        [
                            "id": .number(view + 1), "tvec": camera.translation.json,
                            "rotmat": camera.rotationJSON, "camera_id": 1, "name": .string(name),
                            "xys": .array(places.map { [.number($0.x), .number($0.y)] }),
                            "point3D_ids": .array(seen[view].map { .number($0 + 1) }),
                        ] as JSONValue
                    )
                }))
    }

    private var camerasJSON: JSONValue {
        guard let camera = cameras.first?.1 else { return [:] }
        return [
            "1": [
                "id": 1, "model": "SIMPLE_RADIAL", "width": .number(camera.width),
                "height": .number(camera.height),
                "params": [
                    .number(camera.focal), .number(Double(camera.width) / 2),
                    .number(Double(camera.height) / 2),
                    -0.001357,
                ],
            ]
        ]
    }
}

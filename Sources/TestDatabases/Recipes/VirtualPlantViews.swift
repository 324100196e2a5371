import PlantDBCore

/// `virtual_plant`: 18 views of a rendered plant, with a mask for each organ; and what the
/// pipeline makes of them.
struct VirtualPlantViews: Sendable {
    let seed: UInt64
    let detail: TestDatabaseOptions.Detail
    let measures: Measures
    let plant: PlantModel
    private let encoder: GrainyPNGEncoder

    static let viewCount = 18
    static let plantFileset = "VirtualPlant_arabidopsis_note___BRANCHON___fal___angles____inte_a7299a0b5f"
    private static let edge = 896
    private static let focal = 371.2
    private static let center = Vector(-2, 3, 65)
    static let boundingBox: (x: ClosedRange<Double>, y: ClosedRange<Double>, z: ClosedRange<Double>) =
        (-6.9...16.2, -6.9...16.9, -4.1...115.7)
    private static let channels = ["rgb", "flower", "leaf", "pedicel", "stem", "fruit", "background"]

    init(seed: UInt64, detail: TestDatabaseOptions.Detail) {
        let seed = SeededNumbers.seed(seed, for: "virtual_plant")
        self.seed = seed
        self.detail = detail
        measures = Measures(count: 41, seed: seed)
        plant = PlantModel(
            shape: .init(
                foot: Vector(4, 4, 0), height: 114, stemRadius: 0.55, leaves: 12, leafLength: 11,
                hasFlowers: false),
            angles: measures.angles, internodes: measures.internodes, seed: seed)
        let colors = Colors.rgb(surroundings: [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]).map { $0 + [255] }
        encoder = GrainyPNGEncoder(color: .rgba, colors: colors, grainyShare: 21, seed: seed)
    }

    private func camera(_ view: Int) -> Camera {
        let azimuth = Angle.turn * Double(view) / Double(Self.viewCount)
        return Camera(
            at: Self.center - Vector.horizontal(azimuth) * 75, azimuth: azimuth, tilt: Angle.radians(8),
            focal: Self.focal, width: Self.edge, height: Self.edge)
    }

    private func map(_ view: Int) -> ClassMap {
        let camera = camera(view).scaled(toWidth: detail.pixels(Self.edge), height: detail.pixels(Self.edge))
        var map = ClassMap(width: camera.width, height: camera.height)
        map.draw(plant, from: camera)
        return map
    }

    private func metadata(_ view: Int, channel: String) -> JSONValue {
        let camera = camera(view)
        let degrees = 360.0 * Double(view) / Double(Self.viewCount)
        let place = Self.center - Vector.horizontal(Angle.radians(degrees)) * 75
        return [
            "approximate_pose": [
                .number(place.x), .number(place.y), 65, .number(degrees < 90 ? degrees + 270 : degrees - 90),
                8,
            ],
            "camera": [
                "camera_model": [
                    "height": .number(Self.edge), "model": "OPENCV",
                    "params": [.number(Self.focal), .number(Self.focal), 448.0, 448.0, 0.0, 0.0, 0.0, 0.0],
                    "width": .number(Self.edge),
                ],
                "rotmat": camera.rotationJSON, "tvec": camera.translation.json,
            ],
            "channel": .string(channel), "shot_id": .string(String(view, digits: 6)),
        ]
    }

    private func content(_ view: Int, channel: String) -> [UInt8] {
        let map = map(view)
        if channel == "rgb" { return encoder.encode(map, seed: seed &+ UInt64(view)) }
        let gray: [UInt8] = (0..<Colors.classCount).map { number in
            let organ = ClassMap.organ(of: UInt8(number))
            if channel == "background" { return organ == nil ? 255 : 0 }
            return organ.map { "\($0)" } == channel ? 255 : 0
        }
        return PNGEncoder.mask(map, gray: gray)
    }

    private var plantFilesetRecipe: ScanRecipe.Fileset {
        let plant = plant
        let vertices = detail.points(34_600)
        return ScanRecipe.Fileset(
            id: Self.plantFileset,
            metadata: [
                "task_params": [
                    "lpy_file_id": "arabidopsis_notex",
                    "lpy_globals": [
                        "BETA": 51, "BRANCHON": false, "INTERNODE_LENGTH": 1.3, "MEAN_NB_DAYS": 70,
                        "STDEV_NB_DAYS": 5, "STEM_DIAMETER": 0.09,
                    ],
                    "metadata": ["angles", "internodes"], "output_file_id": "out", "scan_id": "",
                ]
            ],
            files: [
                ScanRecipe.File(id: "VirtualPlant", name: "VirtualPlant.obj", metadata: measures.json) {
                    OBJWriter.model(plant, materialFile: "VirtualPlant_mtl.mtl", vertexCount: vertices)
                },
                ScanRecipe.File(id: "VirtualPlant_mtl", name: "VirtualPlant_mtl.mtl", metadata: nil) {
                    OBJWriter.materials()
                },
            ])
    }

    private var imagesFileset: ScanRecipe.Fileset {
        let box = Self.boundingBox
        func bounds(_ range: ClosedRange<Double>) -> JSONValue {
            [.number(range.lowerBound), .number(range.upperBound)]
        }
        return ScanRecipe.Fileset(
            id: "images",
            metadata: [
                "bounding_box": ["x": bounds(box.x), "y": bounds(box.y), "z": bounds(box.z)],
                "channels": .array(Self.channels.map { .string($0) }),
            ],
            files: (0..<Self.viewCount).flatMap { view in
                Self.channels.map { channel in
                    let id = String(view, digits: 5) + "_" + channel
                    return ScanRecipe.File(
                        id: id, name: id + ".png", metadata: metadata(view, channel: channel)
                    ) { content(view, channel: channel) }
                }
            })
    }

    var recipe: ScanRecipe {
        var recipe = ScanRecipe(filesets: [plantFilesetRecipe, imagesFileset])
        recipe.looseFiles = [("scan.toml", scanConfiguration)]
        return recipe
    }

    var analyzedRecipe: ScanRecipe {
        let output = PipelineOutput(
            scan: "virtual_plant_analyzed", plant: plant, measures: measures, detail: detail, kind: .virtual,
            seed: seed)
        var recipe = ScanRecipe(filesets: [plantFilesetRecipe, imagesFileset] + output.modelFilesets)
        recipe.looseFiles = [("scan.toml", scanConfiguration), ("pipeline.toml", output.configuration)]
        return recipe
    }

    private var scanConfiguration: String {
        var configuration = Configuration()
        for name in ["ObjFileset", "PaletteFileset", "HdriFileset", "LpyFileset", "SceneFileset"] {
            configuration.table(name, ["scan_id": .text("vscan_data")])
        }
        configuration.table("ScanPath", ["class_name": .text("Circle")])
        configuration.table(
            "VirtualScan",
            [
                "obj_fileset": .text("VirtualPlant"), "use_palette": .truth(true), "use_hdri": .truth(false),
                "load_scene": .truth(false), "scene_file_id": .text("pot"),
                "render_ground_truth": .truth(true),
            ])
        configuration.table("VirtualPlant", ["lpy_file_id": .text("arabidopsis_notex")])
        configuration.table("Voxels", ["type": .text("averaging"), "voxel_size": .real(0.05)])
        configuration.returnCodes()
        configuration.table(
            "ScanPath.kwargs",
            [
                "center_x": .whole(-2), "center_y": .whole(3), "z": .whole(65), "tilt": .whole(8),
                "radius": .whole(75), "n_points": .whole(18),
            ])
        configuration.table(
            "VirtualScan.scanner",
            [
                "width": .whole(896), "height": .whole(896), "focal": .whole(29), "flash": .truth(true),
                "add_leaf_displacement": .truth(true),
            ])
        configuration.table(
            "VirtualPlant.lpy_globals",
            [
                "BRANCHON": .truth(false), "MEAN_NB_DAYS": .whole(70), "STDEV_NB_DAYS": .whole(5),
                "BETA": .whole(51), "INTERNODE_LENGTH": .real(1.3), "STEM_DIAMETER": .real(0.09),
            ])
        return configuration.text
    }
}

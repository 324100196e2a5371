import PlantDBCore

/// `real_plant`: photos from 60 places on a circle, before black cloth; and what the pipeline
/// makes of them.
struct RealPlantViews: Sendable {
    let seed: UInt64
    let detail: TestDatabaseOptions.Detail
    let measures: Measures
    let plant: PlantModel
    private let encoder: JPEGEncoder
    private let undistorted: GrainyPNGEncoder

    static let viewCount = 60
    private static let center = 375.0
    private static let radius = 300.0
    private static let cameraHeight = 80
    private static let focal = 1_165.0
    static let width = 1_440
    static let height = 1_080

    init(seed: UInt64, detail: TestDatabaseOptions.Detail) {
        // One plant for both datasets: their pictures are the same bytes, as upstream's are.
        let seed = SeededNumbers.seed(seed, for: "real_plant")
        self.seed = seed
        self.detail = detail
        measures = Measures(byHand: 29, seed: seed)
        plant = PlantModel(
            shape: .init(
                foot: Vector(Self.center, Self.center, -45), height: 235, stemRadius: 1.1, leaves: 16,
                leafLength: 36, hasFlowers: true),
            angles: measures.angles, internodes: measures.internodes, seed: seed)
        let colors = Colors.rgb(surroundings: [[24, 24, 23], [40, 32, 26], [30, 30, 34], [0, 0, 0]])
        encoder = JPEGEncoder(
            quality: 75, subsampled: true,
            looks: colors.enumerated().map { number, color in
                JPEGEncoder.Look(
                    red: Int(color[0]), green: Int(color[1]), blue: Int(color[2]),
                    grain: number < 4 ? 1 : 9, chromaGrain: number < 4 ? 0 : 1, shaded: number < 4)
            }, seed: seed)
        undistorted = GrainyPNGEncoder(color: .rgb, colors: colors, grainyShare: 26, seed: seed)
    }

    /// The camera of a view, at the size of the genuine pictures.
    func camera(_ view: Int) -> Camera {
        let azimuth = Angle.turn * Double(view) / Double(Self.viewCount)
        let place = Vector.horizontal(azimuth + Angle.turn / 2) * Self.radius
        return Camera(
            at: Vector(Self.center, Self.center, Double(Self.cameraHeight)) + place, azimuth: azimuth,
            tilt: 0,
            focal: Self.focal, width: Self.width, height: Self.height)
    }

    func map(_ view: Int) -> ClassMap {
        let camera = camera(view).scaled(
            toWidth: detail.pixels(Self.width), height: detail.pixels(Self.height))
        var map = ClassMap(width: camera.width, height: camera.height)
        if let foot = camera.project(plant.stem[0]) {
            let scale = camera.focal / foot.depth
            map.ellipse(x: foot.x, y: foot.y + 34 * scale, radiusX: 30 * scale, radiusY: 30 * scale, with: 1)
        }
        map.draw(plant, from: camera)
        return map
    }

    /// `x`, `y`, `z`, pan and tilt of the imager's arm, in mm and degrees.
    func approximatePose(_ view: Int) -> JSONValue {
        let degrees = 360.0 * Double(view) / Double(Self.viewCount)
        let place = Vector.horizontal(Angle.radians(degrees) + Angle.turn / 2) * Self.radius
        return [
            .number(Self.center + place.x), .number(Self.center + place.y), .number(Self.cameraHeight),
            .number(degrees < 90 ? degrees + 270 : degrees - 90), 0,
        ]
    }

    private func id(_ view: Int) -> String { String(view, digits: 5) + "_rgb" }

    private func metadata(_ view: Int) -> JSONObject {
        [
            "approximate_pose": approximatePose(view), "channel": "rgb",
            "shot_id": .string(String(view, digits: 6)),
        ]
    }

    /// What COLMAP adds to the metadata of a photo.
    private func posedMetadata(_ view: Int) -> JSONObject {
        let camera = camera(view)
        var result = metadata(view)
        result["colmap_camera"] = [
            "camera_model": ColmapOutput.cameraModel(
                focal: Self.focal, width: Self.width, height: Self.height),
            "rotmat": camera.rotationJSON, "tvec": camera.translation.json,
        ]
        result["estimated_pose"] = camera.position.json
        result["pose_estimation"] = "correct"
        return result
    }

    private func imagesFileset(_ metadata: (Int) -> JSONObject) -> ScanRecipe.Fileset {
        ScanRecipe.Fileset(
            id: "images",
            metadata: [
                "channels": ["rgb"],
                "object": [
                    "age": "0", "environment": "Lyon indoor", "experiment_id": "calibration01",
                    "object": "random objects",
                ],
                "task_params": ["fileset_id": "images", "output_file_id": "out", "scan_id": ""],
                "workspace": ["x": [340, 440], "y": [330, 410], "z": [-180, 105]],
            ],
            files: (0..<Self.viewCount).map { view in
                ScanRecipe.File(id: id(view), name: id(view) + ".jpg", metadata: .object(metadata(view))) {
                    encoder.encode(map(view), seed: seed &+ UInt64(view))
                }
            })
    }

    var recipe: ScanRecipe {
        var recipe = ScanRecipe(filesets: [imagesFileset(metadata)])
        recipe.looseFiles = [
            ("scan.toml", scanConfiguration), ("measures.json", measures.json.pythonText() + "\n"),
        ]
        recipe.indexEndsWithLineFeed = true
        return recipe
    }

    /// The filesets in the order in which the genuine index lists them.
    var analyzedRecipe: ScanRecipe {
        let output = PipelineOutput(
            scan: "real_plant_analyzed", plant: plant, measures: measures, detail: detail, kind: .real,
            seed: seed)
        let colmap = ColmapOutput(
            plant: plant, cameras: (0..<Self.viewCount).map { (id($0) + ".jpg", camera($0)) }, detail: detail,
            seed: seed)
        let undistortedFiles = (0..<Self.viewCount).map { view in
            var metadata = posedMetadata(view)
            metadata["Camera model source"] = "Colmap"
            metadata["upstream_task"] = "ImagesFilesetExists"
            return ScanRecipe.File(id: id(view), name: id(view) + ".png", metadata: .object(metadata)) {
                undistorted.encode(map(view), seed: seed &+ UInt64(view))
            }
        }
        let gray: [UInt8] = (0..<Colors.classCount).map { $0 < 4 ? 0 : 255 }
        let maskFiles = (0..<Self.viewCount).map { view in
            var metadata = posedMetadata(view)
            metadata["Masks"] = ["type": "linear", "parameters": [0, 1, 0], "dilation": 1, "threshold": 0.2]
            return ScanRecipe.File(id: id(view), name: id(view) + ".png", metadata: .object(metadata)) {
                PNGEncoder.mask(map(view), gray: gray)
            }
        }
        var recipe = ScanRecipe(
            filesets: [imagesFileset(posedMetadata)] + output.modelFilesets + [
                output.fileset(.masks, files: maskFiles),
                output.fileset(.colmap, files: colmap.files, extra: ["bounding_box": colmap.boundingBox]),
                output.fileset(.undistorted, files: undistortedFiles),
            ])
        recipe.looseFiles = [
            ("scan.toml", scanConfiguration), ("measures.json", measures.json.pythonText() + "\n"),
            ("pipeline.toml", output.configuration),
        ]
        return recipe
    }

    private var scanConfiguration: String {
        var configuration = Configuration()
        configuration.table("ScanPath", ["class_name": .text("Circle")])
        configuration.returnCodes()
        configuration.table(
            "ScanPath.kwargs",
            [
                "center_x": .whole(375), "center_y": .whole(375), "z": .whole(80), "tilt": .whole(0),
                "radius": .whole(300), "n_points": .whole(60),
            ])
        configuration.table("Scan.scanner.camera", ["module": .text("plantimager.sony")])
        configuration.table("Scan.scanner.gimbal", ["module": .text("plantimager.blgimbal")])
        configuration.table("Scan.scanner.cnc", ["module": .text("plantimager.grbl")])
        configuration.table(
            "Scan.metadata.workspace",
            ["x": .list([100, 700]), "y": .list([100, 700]), "z": .list([-100, 300])])
        configuration.table(
            "Scan.metadata.object",
            [
                "age": .text("0"), "environment": .text("Lyon indoor"),
                "experiment_id": .text("calibration01"),
                "object": .text("random objects"),
            ])
        configuration.table(
            "Scan.scanner.camera.kwargs",
            [
                "device_ip": .text("192.168.122.1"), "api_port": .text("10000"), "postview": .truth(true),
                "use_flashair": .truth(false), "rotation": .whole(270),
            ])
        configuration.table(
            "Scan.scanner.gimbal.kwargs",
            [
                "port": .text("/dev/ttyACM3"), "has_tilt": .truth(false), "zero_pan": .whole(0),
                "invert_rotation": .truth(true),
            ])
        configuration.table(
            "Scan.scanner.cnc.kwargs", ["homing": .truth(true), "port": .text("/dev/ttyACM2")])
        return configuration.text
    }
}

extension Vector {
    var json: JSONValue { [.number(x), .number(y), .number(z)] }
}

extension Camera {
    var rotationJSON: JSONValue { [right.json, down.json, forward.json] }

    /// Where it stands in the world.
    var position: Vector {
        (right * translation.x + down * translation.y + forward * translation.z) * -1
    }
}

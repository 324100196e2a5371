import PlantDBCore

/// `arabidopsis000`: a virtual plant on a patterned floor, seen from 72 places on a circle.
struct ArabidopsisViews: Sendable {
    private let seed: UInt64
    private let detail: TestDatabaseOptions.Detail
    private let plant: PlantModel
    private let encoder: JPEGEncoder
    private let blobs: [(center: Vector, radius: Double, look: UInt8)]

    static let viewCount = 72
    private static let radius = 350.0
    private static let cameraHeight = 600.0

    init(seed: UInt64, detail: TestDatabaseOptions.Detail) {
        let seed = SeededNumbers.seed(seed, for: "arabidopsis000")
        self.seed = seed
        self.detail = detail
        let measures = Measures(count: 34, seed: seed)
        plant = PlantModel(
            shape: .init(
                foot: .zero, height: 430, stemRadius: 2, leaves: 13, leafLength: 62, hasFlowers: true),
            angles: measures.angles, internodes: measures.internodes, seed: seed)
        // Gray sky, and a floor in red and violet; the virtual imager makes it grainy all over.
        let colors = Colors.rgb(surroundings: [[64, 64, 64], [60, 18, 34], [196, 28, 72], [176, 40, 190]])
        encoder = JPEGEncoder(
            quality: 90, subsampled: false,
            looks: colors.enumerated().map { number, color in
                JPEGEncoder.Look(
                    red: Int(color[0]), green: Int(color[1]), blue: Int(color[2]),
                    grain: number == 0 ? 0 : number < 4 ? 27 : 14,
                    chromaGrain: number == 0 ? 0 : number < 4 ? 8 : 3)
            }, seed: seed)
        var random = SeededNumbers(seed: seed, "floor")
        blobs = (0..<260).map { _ in
            (
                Vector(random.double(-880...880), random.double(-880...880), 0), random.double(18...60),
                UInt8(2 + random.below(2))
            )
        }
    }

    var recipe: ScanRecipe {
        let files = (0..<Self.viewCount).map { view in
            let id = "arabidopsis000_image" + String(view, digits: 3)
            let azimuth = Angle.turn * Double(view) / Double(Self.viewCount)
            let pose: JSONValue = [
                .number(Self.radius * Angle.cosine(azimuth)), .number(Self.radius * Angle.sine(azimuth)),
                .number(Int(Self.cameraHeight)), .number(Angle.turn / 6), .number(azimuth + Angle.turn / 4),
            ]
            return ScanRecipe.File(id: id, name: id + ".jpg", metadata: ["pose": pose]) { picture(view) }
        }
        var recipe = ScanRecipe(filesets: [ScanRecipe.Fileset(id: "images", metadata: nil, files: files)])
        recipe.metadata = [
            "object": [
                "environment": "virtual", "plant_id": "arabidopsis000", "species": "Arabidopsis Thaliana",
            ],
            "scanner": ["workspace": ["x": [-200, 200], "y": [-200, 200], "z": [10, 1000]]],
        ]
        recipe.indexEndsWithLineFeed = true
        return recipe
    }

    private func picture(_ view: Int) -> [UInt8] {
        let azimuth = Angle.turn * Double(view) / Double(Self.viewCount)
        let camera = Camera(
            at: Vector.horizontal(azimuth) * Self.radius * 2 + Vector(0, 0, Self.cameraHeight),
            azimuth: azimuth + Angle.turn / 2, tilt: Angle.turn / 12, focal: 620, width: 960, height: 540
        ).scaled(toWidth: detail.pixels(960), height: detail.pixels(540))
        var map = ClassMap(width: camera.width, height: camera.height)
        drawFloor(on: &map, camera)
        map.draw(plant, from: camera)
        return encoder.encode(map, seed: seed &+ UInt64(view))
    }

    /// A square of 1,800 by 1,800 mm, as far as it is in front of the camera, and its blobs.
    private func drawFloor(on map: inout ClassMap, _ camera: Camera) {
        // A horizontal camera axis keeps depth even along a row: the rows below the far edge.
        guard let far = camera.project(camera.forward.flattened * 900) else { return }
        for row in max(0, Int(far.y))..<map.height {
            // Half the width grows linearly from the far edge towards the camera.
            let half = (Double(row) - far.y) * 1.9 + camera.focal * 900 / far.depth
            let middle = Double(map.width) / 2
            map.fill(row: row, from: Int(middle - half), to: Int(middle + half), with: 1)
        }
        for blob in blobs {
            guard let center = camera.project(blob.center), center.depth > 150, center.y > far.y else {
                continue
            }
            let radius = blob.radius * camera.focal / center.depth
            map.ellipse(x: center.x, y: center.y, radiusX: radius, radiusY: radius * 0.55, with: blob.look)
        }
    }
}

extension Vector {
    /// Its horizontal direction.
    var flattened: Vector { Vector(x, y, 0).normalized }
}

extension SeededNumbers {
    /// The seed of a part.
    static func seed(_ seed: UInt64, for part: String) -> UInt64 {
        var numbers = SeededNumbers(seed: seed, part)
        return numbers.next()
    }
}

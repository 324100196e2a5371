import Glibc

/// A picture as numbers of classes (what is seen there), one byte a pixel, row by row.
///
/// The encoders turn classes into colours; drawing classes first keeps the pictures of one
/// view (photo, undistorted photo, masks) consistent and makes large even areas cheap.
struct ClassMap {
    let width: Int
    let height: Int
    private(set) var pixels: [UInt8]
    /// The rows that were drawn on.
    private var drawn: ClosedRange<Int>?

    /// Filled with class 0: the background.
    init(width: Int, height: Int) {
        self.width = width
        self.height = height
        pixels = [UInt8](repeating: 0, count: width * height)
    }

    /// Of an organ in one of its four shades; 4 and above.
    static func number(_ organ: PlantModel.Organ, shade: UInt8) -> UInt8 { organ.rawValue << 2 | shade & 3 }

    static func organ(of number: UInt8) -> PlantModel.Organ? { PlantModel.Organ(rawValue: number >> 2) }

    /// False for rows that are background from end to end.
    func mayHoldPlant(row: Int) -> Bool { drawn?.contains(row) ?? false }

    mutating func fill(row: Int, from start: Int, to end: Int, with number: UInt8) {
        let first = max(0, start)
        let count = min(width, end) - first
        guard count > 0, row >= 0, row < height else { return }
        drawn = drawn.map { min($0.lowerBound, row)...max($0.upperBound, row) } ?? row...row
        pixels.withUnsafeMutableBytes { bytes in
            // Not nil: a map has pixels, and the range was clamped to the row.
            _ = memset(bytes.baseAddress! + row * width + first, CInt(number), count)
        }
    }

    mutating func ellipse(x: Double, y: Double, radiusX: Double, radiusY: Double, with number: UInt8) {
        guard radiusX > 0, radiusY > 0, y + radiusY > 0, y - radiusY < Double(height), x + radiusX > 0,
            x - radiusX < Double(width)
        else { return }
        let first = max(0, Int((y - radiusY).rounded(.up)))
        let last = min(height - 1, Int((y + radiusY).rounded(.down)))
        if first > last {
            fill(row: Int(y), from: Int(x), to: Int(x) + 1, with: number)
            return
        }
        for row in first...last {
            let offset = (Double(row) - y) / radiusY
            let half = radiusX * (1 - offset * offset).squareRoot()
            let start = Int((x - half).rounded())
            fill(row: row, from: start, to: max(start + 1, Int((x + half).rounded())), with: number)
        }
    }

    /// Draws the plant, what is farther away first.
    mutating func draw(_ plant: PlantModel, from camera: Camera) {
        struct Visible {
            var from: (x: Double, y: Double)
            var to: (x: Double, y: Double)
            var radii: (Double, Double)
            var depth: Double
            var number: UInt8
        }
        var visible: [Visible] = []
        for segment in plant.segments {
            guard let from = camera.project(segment.from), let to = camera.project(segment.to) else {
                continue
            }
            visible.append(
                Visible(
                    from: (from.x, from.y), to: (to.x, to.y),
                    radii: (
                        max(0.6, segment.fromRadius * camera.focal / from.depth),
                        max(0.6, segment.toRadius * camera.focal / to.depth)
                    ), depth: (from.depth + to.depth) / 2,
                    number: Self.number(segment.organ, shade: segment.shade)))
        }
        visible.sort { $0.depth > $1.depth }
        for segment in visible {
            let dx = segment.to.x - segment.from.x
            let dy = segment.to.y - segment.from.y
            let length = (dx * dx + dy * dy).squareRoot()
            // Discs close enough that their union looks like the outline.
            let pitch = max(0.5, min(segment.radii.0, segment.radii.1) * 0.4)
            let count = max(1, min(4000, Int(length / pitch)))
            for step in 0...count {
                let t = Double(step) / Double(count)
                let radius = segment.radii.0 + (segment.radii.1 - segment.radii.0) * t
                ellipse(
                    x: segment.from.x + dx * t, y: segment.from.y + dy * t, radiusX: radius, radiusY: radius,
                    with: segment.number)
            }
        }
    }
}

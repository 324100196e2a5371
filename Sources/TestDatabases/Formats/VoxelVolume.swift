/// A volume of voxels that the plant fills or not, as a TIFF of one page for each x.
///
/// Upstream's pipeline writes 32-bit integers with LZW. Ours have the same type and shape,
/// and DEFLATE, the other compression that every TIFF reader knows: it turns the long empty
/// stretches into a few bits each, without a single voxel of them in memory.
struct VoxelVolume: Sendable {
    var origin: Vector
    /// Edge of a voxel in world units.
    var voxelSize: Double
    /// Voxels along x, y and z.
    var shape: (x: Int, y: Int, z: Int)

    init(_ box: (x: ClosedRange<Double>, y: ClosedRange<Double>, z: ClosedRange<Double>), voxelSize: Double) {
        func count(_ range: ClosedRange<Double>) -> Int {
            Int((range.upperBound - range.lowerBound) / voxelSize) + 1
        }
        origin = Vector(box.x.lowerBound, box.y.lowerBound, box.z.lowerBound)
        self.voxelSize = voxelSize
        shape = (count(box.x), count(box.y), count(box.z))
    }

    private struct Ball {
        var center: Vector
        var radius: Double
    }

    /// The file; costs O(voxels that are filled) and memory for one page and the result.
    func tiff(of plant: PlantModel) -> [UInt8] {
        let balls = balls(of: plant)
        let empty = data(of: nil)
        var bytes: [UInt8] = [0x49, 0x49, 42, 0, 0, 0, 0, 0]
        var link = 4
        let description = Array("{\"shape\": [\(shape.x), \(shape.y), \(shape.z)]}\0".utf8)
        for page in 0..<shape.x {
            let map = balls[page].isEmpty ? nil : map(of: balls[page], page: page)
            let strip = map.map { data(of: $0) } ?? empty
            let stripOffset = bytes.count
            bytes += strip
            let descriptionOffset = bytes.count
            if page == 0 { bytes += description }
            if bytes.count % 2 == 1 { bytes.append(0) }
            var place = bytes.count
            for byte in 0..<4 {
                bytes[link + byte] = UInt8(place & 0xff)
                place >>= 8
            }
            // Tag, type (3: 16 bits, 4: 32 bits, 2: text), count, value; TIFF 6.0, section 2.
            var tags: [(UInt16, UInt16, Int, Int)] = [
                (256, 4, 1, shape.z), (257, 4, 1, shape.y), (258, 3, 1, 32), (259, 3, 1, 8), (262, 3, 1, 1),
                (273, 4, 1, stripOffset), (277, 3, 1, 1), (278, 4, 1, shape.y), (279, 4, 1, strip.count),
                (339, 3, 1, 2),
            ]
            if page == 0 { tags.insert((270, 2, description.count, descriptionOffset), at: 5) }
            bytes.appendLittleEndian(UInt16(tags.count))
            for tag in tags {
                bytes.appendLittleEndian(tag.0)
                bytes.appendLittleEndian(tag.1)
                bytes.appendLittleEndian(UInt32(tag.2))
                bytes.appendLittleEndian(UInt32(tag.3))
            }
            link = bytes.count
            bytes.appendLittleEndian(UInt32(0))
        }
        return bytes
    }

    /// The plant as balls, in voxels, by the pages they reach into.
    private func balls(of plant: PlantModel) -> [[Ball]] {
        var result = [[Ball]](repeating: [], count: shape.x)
        for segment in plant.segments {
            let from = (segment.from - origin) * (1 / voxelSize)
            let to = (segment.to - origin) * (1 / voxelSize)
            let radii = (segment.fromRadius / voxelSize, segment.toRadius / voxelSize)
            let pitch = max(0.5, min(radii.0, radii.1) * 0.5)
            let count = max(1, Int((to - from).length / pitch))
            for step in 0...count {
                let t = Double(step) / Double(count)
                let ball = Ball(
                    center: from + (to - from) * t, radius: max(0.6, radii.0 + (radii.1 - radii.0) * t))
                let first = max(0, Int((ball.center.x - ball.radius).rounded(.up)))
                let last = min(shape.x - 1, Int((ball.center.x + ball.radius).rounded(.down)))
                if first <= last { for page in first...last { result[page].append(ball) } }
            }
        }
        return result
    }

    private func map(of balls: [Ball], page: Int) -> ClassMap {
        var map = ClassMap(width: shape.z, height: shape.y)
        for ball in balls {
            let offset = Double(page) - ball.center.x
            let square = ball.radius * ball.radius - offset * offset
            guard square > 0 else { continue }
            let radius = square.squareRoot()
            map.ellipse(x: ball.center.z, y: ball.center.y, radiusX: radius, radiusY: radius, with: 1)
        }
        return map
    }

    /// One page as little-endian 32-bit integers, compressed.
    private func data(of map: ClassMap?) -> [UInt8] {
        var deflater = RunDeflater()
        let one: [UInt8] = [1, 0, 0, 0]
        var zeros = 0
        if let map {
            map.pixels.withUnsafeBufferPointer { voxels in
                var place = 0
                while place < voxels.count {
                    // Rows without plant are skipped at once.
                    if place % shape.z == 0, !map.mayHoldPlant(row: place / shape.z) {
                        zeros += shape.z
                        place += shape.z
                        continue
                    }
                    if voxels[place] == 0 {
                        zeros += 1
                        place += 1
                        continue
                    }
                    deflater.run(0, count: 4 * zeros)
                    zeros = 0
                    let start = place
                    while place < voxels.count, voxels[place] != 0 { place += 1 }
                    for byte in one { deflater.literal(byte) }
                    let rest = Array(repeatElement(one, count: place - start - 1).joined())
                    rest.withUnsafeBytes { deflater.copy($0, distance: 4) }
                }
            }
        } else {
            zeros = shape.y * shape.z
        }
        deflater.run(0, count: 4 * zeros)
        return deflater.finish()
    }
}

/// A plant as the generator draws and models it: a stem, and along it pedicels with fruits at
/// given angles and distances, a rosette of leaves at its foot and flowers at its top.
struct PlantModel: Sendable {
    enum Organ: UInt8, CaseIterable, Sendable {
        case stem = 1
        case leaf
        case pedicel
        case fruit
        case flower
    }

    /// A tapered cylinder with round ends.
    struct Segment: Sendable {
        var organ: Organ
        var from: Vector
        var to: Vector
        var fromRadius: Double
        var toRadius: Double
        /// 0 ... 3, dark to light.
        var shade: UInt8 = 1
        /// Which organ of its kind it belongs to.
        var number = 0
    }

    private(set) var segments: [Segment] = []
    /// Where each pedicel leaves the stem, in ascending order.
    private(set) var branchingPoints: [Vector] = []
    /// The line of the stem from the foot to the top.
    private(set) var stem: [Vector] = []

    struct Shape: Sendable {
        /// Of the foot, in world coordinates.
        var foot: Vector
        /// From the foot to the top, in world units.
        var height: Double
        /// Thickness of the stem at the foot (radius), in world units.
        var stemRadius: Double
        var leaves: Int
        var leafLength: Double
        var hasFlowers: Bool
    }

    /// - Parameters:
    ///   - angles: between successive pedicels, in radians.
    ///   - internodes: their relative distances; scaled so that they fill the upper four
    ///     fifths of the stem.
    init(shape: Shape, angles: [Double], internodes: [Double], seed: UInt64) {
        var random = SeededNumbers(seed: seed, "plant")
        let bendAzimuth = random.double(0...Angle.turn)
        let bend = random.double(0.04...0.09) * shape.height
        func point(_ fraction: Double) -> Vector {
            let sway = Angle.sine(fraction * 2.6) * bend
            return shape.foot + Vector.horizontal(bendAzimuth) * sway + Vector(0, 0, shape.height * fraction)
        }
        let pieces = 24
        stem = (0...pieces).map { point(Double($0) / Double(pieces)) }
        for piece in 0..<pieces {
            let low = 1 - 0.75 * Double(piece) / Double(pieces)
            let high = 1 - 0.75 * Double(piece + 1) / Double(pieces)
            segments.append(
                Segment(
                    organ: .stem, from: stem[piece], to: stem[piece + 1], fromRadius: shape.stemRadius * low,
                    toRadius: shape.stemRadius * high, shade: piece % 3 == 0 ? 2 : 1))
        }

        addBranches(shape, angles: angles, internodes: internodes, point: point, random: &random)
        addRosette(shape, random: &random)
        if shape.hasFlowers { addFlowers(shape, top: point(1), random: &random) }
    }

    private mutating func addBranches(
        _ shape: Shape, angles: [Double], internodes: [Double], point: (Double) -> Vector,
        random: inout SeededNumbers
    ) {
        let total = internodes.reduce(0.001, +)
        var passed = 0.0
        var azimuth = random.double(0...Angle.turn)
        for index in 0...angles.count {
            if index > 0 {
                azimuth += angles[index - 1]
                passed += internodes[index - 1]
            }
            let fraction = 0.15 + 0.8 * passed / total
            let start = point(fraction)
            branchingPoints.append(start)
            let outwards = Vector.horizontal(azimuth)
            let length = shape.height * random.double(0.022...0.032)
            let knee = start + outwards * (length * 0.9) + Vector(0, 0, length * random.double(0.15...0.5))
            segments.append(
                Segment(
                    organ: .pedicel, from: start, to: knee, fromRadius: shape.stemRadius * 0.32,
                    toRadius: shape.stemRadius * 0.28, shade: 2, number: index))
            let fruit = shape.height * random.double(0.035...0.06) * (1.15 - 0.5 * fraction)
            let tip = knee + outwards * (fruit * 0.9) + Vector(0, 0, fruit * random.double(-0.1...0.55))
            segments.append(
                Segment(
                    organ: .fruit, from: knee, to: tip, fromRadius: shape.stemRadius * 0.5,
                    toRadius: shape.stemRadius * 0.34, shade: 2 + UInt8(random.below(2)), number: index))
        }
    }

    private mutating func addRosette(_ shape: Shape, random: inout SeededNumbers) {
        for index in 0..<shape.leaves {
            let outwards = Vector.horizontal(Double(index) * 2.39996 + random.double(-0.2...0.2))
            let length = shape.leafLength * random.double(0.6...1.05)
            let lift = random.double(0.05...0.45)
            let widths = [0.05, 0.10, 0.17, 0.2, 0.15, 0.05]
            for piece in 0..<(widths.count - 1) {
                let near = Double(piece) / Double(widths.count - 1)
                let far = Double(piece + 1) / Double(widths.count - 1)
                func place(_ t: Double) -> Vector {
                    shape.foot + outwards * (length * t) + Vector(0, 0, length * lift * (t - 0.7 * t * t))
                }
                segments.append(
                    Segment(
                        organ: .leaf, from: place(near), to: place(far), fromRadius: length * widths[piece],
                        toRadius: length * widths[piece + 1], shade: UInt8((index + piece) & 3), number: index
                    ))
            }
        }
    }

    private mutating func addFlowers(_ shape: Shape, top: Vector, random: inout SeededNumbers) {
        for index in 0..<9 {
            let outwards = Vector.horizontal(Double(index) * 2.39996)
            let base = top + Vector(0, 0, shape.height * random.double(-0.02...0.012))
            let end =
                base + outwards * (shape.height * random.double(0.006...0.02))
                + Vector(0, 0, shape.height * 0.012)
            segments.append(
                Segment(
                    organ: .flower, from: base, to: end, fromRadius: shape.stemRadius * 0.3,
                    toRadius: shape.stemRadius * 0.9, shade: UInt8(random.below(4)), number: index))
        }
    }
}

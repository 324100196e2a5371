import PlantDBCore

/// Angles and distances between successive organs along a stem, as somebody measures them
/// on an *Arabidopsis*: around the golden angle, and rarely equal.
struct Measures: Sendable {
    /// Radians.
    let angles: [Double]
    /// In the unit of the dataset.
    let internodes: [Double]

    /// Whole millimetres and steps of five degrees, as by hand.
    init(byHand count: Int, seed: UInt64) {
        var random = SeededNumbers(seed: seed, "measures")
        angles = (0..<count).map { _ in Angle.radians(Double(100 + 5 * (random.below(9) + random.below(9)))) }
        internodes = (0..<count).map { index in
            Double(max(0, 26 - index * 22 / count + random.integer(-6...10)))
        }
    }

    init(count: Int, seed: UInt64) {
        var random = SeededNumbers(seed: seed, "measures")
        angles = (0..<count).map { _ in 1.7 + 0.7 * (random.unit() + random.unit()) }
        internodes = (0..<count).map { _ in 0.7 + 0.6 * (random.unit() + random.unit()) }
    }

    var json: JSONValue {
        [
            "angles": .array(angles.map { JSONValue.number($0) }),
            "internodes": .array(internodes.map { JSONValue.number($0) }),
        ]
    }
}

/// A point or direction in the world, in the unit of its dataset (mm for real plants).
struct Vector: Sendable {
    var x: Double
    var y: Double
    var z: Double

    init(_ x: Double, _ y: Double, _ z: Double) {
        self.x = x
        self.y = y
        self.z = z
    }

    static let zero = Vector(0, 0, 0)

    static func + (a: Vector, b: Vector) -> Vector { Vector(a.x + b.x, a.y + b.y, a.z + b.z) }
    static func - (a: Vector, b: Vector) -> Vector { Vector(a.x - b.x, a.y - b.y, a.z - b.z) }
    static func * (a: Vector, scale: Double) -> Vector { Vector(a.x * scale, a.y * scale, a.z * scale) }

    func dot(_ other: Vector) -> Double { x * other.x + y * other.y + z * other.z }

    func cross(_ other: Vector) -> Vector {
        Vector(y * other.z - z * other.y, z * other.x - x * other.z, x * other.y - y * other.x)
    }

    var length: Double { dot(self).squareRoot() }

    var normalized: Vector {
        let length = length
        return length > 0 ? self * (1 / length) : Vector(0, 0, 1)
    }

    /// Horizontal, at `azimuth` radians from the x axis.
    static func horizontal(_ azimuth: Double) -> Vector {
        Vector(Angle.cosine(azimuth), Angle.sine(azimuth), 0)
    }

    /// Two unit vectors that span the plane to which this direction is normal.
    var perpendiculars: (Vector, Vector) {
        let direction = normalized
        let helper = direction.z.magnitude < 0.9 ? Vector(0, 0, 1) : Vector(1, 0, 0)
        let first = direction.cross(helper).normalized
        return (first, direction.cross(first))
    }
}

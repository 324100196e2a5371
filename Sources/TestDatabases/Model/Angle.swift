/// Sine and cosine of radians from additions and multiplications only: the C library's may
/// differ in the last bit between processors and releases, and the same seed is to give the
/// same bytes everywhere. Good to about 1e-15 for angles of a few turns.
enum Angle {
    static let turn = 6.283185307179586

    static func sine(_ angle: Double) -> Double { quadrant(angle).sine }

    static func cosine(_ angle: Double) -> Double { quadrant(angle).cosine }

    static func radians(_ degrees: Double) -> Double { degrees * (turn / 360) }

    private static func quadrant(_ angle: Double) -> (sine: Double, cosine: Double) {
        let quarters = (angle / (turn / 4)).rounded()
        let rest = angle - quarters * (turn / 4)
        let square = rest * rest
        // Taylor's series up to rest¹⁷; |rest| ≤ π/4.
        var sine = 1.0
        var cosine = 1.0
        for term in stride(from: 16.0, through: 2, by: -2) {
            sine = 1 - square / (term * (term + 1)) * sine
            cosine = 1 - square / ((term - 1) * term) * cosine
        }
        sine *= rest
        switch Int(quarters) & 3 {
        case 0: return (sine, cosine)
        case 1: return (cosine, -sine)
        case 2: return (-sine, -cosine)
        default: return (-cosine, sine)
        }
    }
}

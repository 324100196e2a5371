/// A pinhole camera as COLMAP and the virtual imager describe one: x to the right, y down,
/// z forward; a point of the world is `rotation · point + translation` in its frame.
struct Camera: Sendable {
    /// Rows of the matrix.
    var right: Vector
    var down: Vector
    var forward: Vector
    var translation: Vector
    /// In pixels.
    var focal: Double
    var width: Int
    var height: Int

    /// - Parameters:
    ///   - azimuth: radians from the x axis to where it looks, horizontally.
    ///   - tilt: radians below the horizon.
    init(at position: Vector, azimuth: Double, tilt: Double, focal: Double, width: Int, height: Int) {
        let flat = Vector.horizontal(azimuth)
        forward = flat * Angle.cosine(tilt) - Vector(0, 0, Angle.sine(tilt))
        right = Vector(flat.y, -flat.x, 0)
        down = forward.cross(right)
        translation = Vector(-right.dot(position), -down.dot(position), -forward.dot(position))
        self.focal = focal
        self.width = width
        self.height = height
    }

    /// The same view on a picture of another size.
    func scaled(toWidth newWidth: Int, height newHeight: Int) -> Camera {
        var camera = self
        camera.focal = focal * Double(newWidth) / Double(width)
        camera.width = newWidth
        camera.height = newHeight
        return camera
    }

    /// Pixels from the upper left corner, and the distance along the view; nil behind the camera.
    func project(_ point: Vector) -> (x: Double, y: Double, depth: Double)? {
        let depth = forward.dot(point) + translation.z
        guard depth > 1e-3 else { return nil }
        let x = right.dot(point) + translation.x
        let y = down.dot(point) + translation.y
        return (Double(width) / 2 + focal * x / depth, Double(height) / 2 + focal * y / depth, depth)
    }
}

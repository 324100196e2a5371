/// Point clouds and meshes in the Stanford PLY format, as Open3D writes them for upstream:
/// `binary_little_endian 1.0`, coordinates and normals as doubles, faces as a list of
/// three 32-bit indexes.
enum PLYWriter {
    static func pointCloud(_ points: [Vector], normals: [Vector]?, colors: [[UInt8]]? = nil) -> [UInt8] {
        var bytes = header(vertices: points.count, normals: normals != nil, colors: colors != nil, faces: nil)
        bytes.reserveCapacity(bytes.count + points.count * 51)
        for index in points.indices {
            append(points[index], to: &bytes)
            if let normals { append(normals[index], to: &bytes) }
            if let colors { bytes += colors[index] }
        }
        return bytes
    }

    /// Every quad becomes two triangles.
    static func mesh(_ mesh: SurfaceMesh) -> [UInt8] {
        var bytes = header(
            vertices: mesh.vertices.count, normals: true, colors: false, faces: 2 * mesh.quads.count)
        bytes.reserveCapacity(bytes.count + mesh.vertices.count * 48 + mesh.quads.count * 26)
        for index in mesh.vertices.indices {
            append(mesh.vertices[index], to: &bytes)
            append(mesh.normals[index], to: &bytes)
        }
        for quad in mesh.quads {
            let corners = quad.corners
            for triangle in [(corners.0, corners.1, corners.2), (corners.0, corners.2, corners.3)] {
                bytes.append(3)
                bytes.appendLittleEndian(UInt32(triangle.0))
                bytes.appendLittleEndian(UInt32(triangle.1))
                bytes.appendLittleEndian(UInt32(triangle.2))
            }
        }
        return bytes
    }

    private static func append(_ vector: Vector, to bytes: inout [UInt8]) {
        bytes.appendLittleEndian(vector.x)
        bytes.appendLittleEndian(vector.y)
        bytes.appendLittleEndian(vector.z)
    }

    private static func header(vertices: Int, normals: Bool, colors: Bool, faces: Int?) -> [UInt8] {
        var lines = ["ply", "format binary_little_endian 1.0", "comment Created by plantdb-swift"]
        lines.append("element vertex \(vertices)")
        lines += ["x", "y", "z"].map { "property double \($0)" }
        if normals { lines += ["nx", "ny", "nz"].map { "property double \($0)" } }
        if colors { lines += ["red", "green", "blue"].map { "property uchar \($0)" } }
        if let faces {
            lines += ["element face \(faces)", "property list uchar uint vertex_indices"]
        }
        lines.append("end_header")
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }
}

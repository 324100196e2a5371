/// A plant as a Wavefront OBJ with a material file, an object for each kind of organ, as the
/// virtual imager exports it from Blender.
enum OBJWriter {
    static func model(_ plant: PlantModel, materialFile: String, vertexCount: Int) -> [UInt8] {
        var text: [UInt8] = Array("# plantdb-swift\nmtllib \(materialFile)\n".utf8)
        text.reserveCapacity(vertexCount * 120)
        let organs: [(PlantModel.Organ, String)] = [
            (.fruit, "fruit"), (.stem, "stem"), (.leaf, "leaf"), (.pedicel, "pedicel"),
        ]
        let total = plant.segments.count
        var base = 1
        for (organ, name) in organs {
            let share = plant.segments.count { $0.organ == organ }
            let mesh = SurfaceMesh(of: plant, organ: organ, vertexCount: vertexCount * share / total)
            text += Array("o \(name)_plant\n".utf8)
            for vertex in mesh.vertices { append("v", vertex, decimals: 6, to: &text) }
            for normal in mesh.normals { append("vn", normal, decimals: 4, to: &text) }
            text += Array("usemtl \(name)\ns 1\n".utf8)
            for quad in mesh.quads {
                text.append(UInt8(ascii: "f"))
                for corner in [quad.corners.0, quad.corners.1, quad.corners.2, quad.corners.3] {
                    text.append(UInt8(ascii: " "))
                    append(base + corner, to: &text)
                    text.append(UInt8(ascii: "/"))
                    text.append(UInt8(ascii: "/"))
                    append(base + corner, to: &text)
                }
                text.append(UInt8(ascii: "\n"))
            }
            base += mesh.vertices.count
        }
        return text
    }

    static func materials() -> [UInt8] {
        let colors = [
            ("fruit", "0.705882 0.705882 0.176471"), ("leaf", "0.764706 0.529412 0.176471"),
            ("pedicel", "0.352941 0.705882 0.117647"), ("stem", "0.705882 0.000000 0.000000"),
        ]
        var text = "# plantdb-swift\n# Material Count: \(colors.count)\n"
        for (name, color) in colors {
            text += """

                newmtl \(name)
                Ns 900.000000
                Ka 1.000000 1.000000 1.000000
                Kd \(color)
                Ks 0.156863 0.156863 0.156863
                Ke 0.000000 0.000000 0.000000
                Ni 1.450000
                d 1.000000
                illum 2

                """
        }
        return Array(text.utf8)
    }

    private static func append(_ keyword: String, _ vector: Vector, decimals: Int, to text: inout [UInt8]) {
        text += Array(keyword.utf8)
        for value in [vector.x, vector.y, vector.z] {
            text.append(UInt8(ascii: " "))
            appendFixed(value, decimals: decimals, to: &text)
        }
        text.append(UInt8(ascii: "\n"))
    }

    /// `%.‹decimals›f` by integers: printf's is slow, and follows the locale.
    private static func appendFixed(_ value: Double, decimals: Int, to text: inout [UInt8]) {
        var scale = 1
        for _ in 0..<decimals { scale *= 10 }
        let scaled = Int((value * Double(scale)).rounded())
        if scaled < 0 { text.append(UInt8(ascii: "-")) }
        let magnitude = Int(scaled.magnitude)
        append(magnitude / scale, to: &text)
        text.append(UInt8(ascii: "."))
        let fraction = magnitude % scale
        var place = scale / 10
        while place > 0 {
            text.append(UInt8(ascii: "0") + UInt8(fraction / place % 10))
            place /= 10
        }
    }

    private static func append(_ number: Int, to text: inout [UInt8]) {
        var place = 1
        while number / place >= 10 { place *= 10 }
        while place > 0 {
            text.append(UInt8(ascii: "0") + UInt8(number / place % 10))
            place /= 10
        }
    }
}

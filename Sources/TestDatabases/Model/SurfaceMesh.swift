/// The surface of a plant: tubes along its segments, as rings of vertices joined by quads.
struct SurfaceMesh: Sendable {
    struct Quad: Sendable {
        var corners: (Int, Int, Int, Int)
    }

    private(set) var vertices: [Vector] = []
    private(set) var normals: [Vector] = []
    private(set) var quads: [Quad] = []

    /// - Parameters:
    ///   - organ: only segments of this kind; nil: all.
    ///   - vertexCount: about as many; a multiple of what the segments need at least.
    init(of plant: PlantModel, organ: PlantModel.Organ? = nil, vertexCount: Int) {
        let segments = plant.segments.filter { organ == nil || $0.organ == organ }
        let around = vertexCount / max(1, segments.count) > 60 ? 12 : 6
        let total = segments.reduce(0.0) { $0 + ($1.to - $1.from).length }
        for segment in segments {
            let axis = segment.to - segment.from
            let share = total > 0 ? axis.length / total : 1
            let rings = max(2, Int((share * Double(vertexCount) / Double(around)).rounded()))
            let (first, second) = axis.perpendiculars
            let base = vertices.count
            for ring in 0..<rings {
                let t = Double(ring) / Double(rings - 1)
                let center = segment.from + axis * t
                let radius = segment.fromRadius + (segment.toRadius - segment.fromRadius) * t
                for step in 0..<around {
                    let angle = Angle.turn * Double(step) / Double(around)
                    let normal = first * Angle.cosine(angle) + second * Angle.sine(angle)
                    vertices.append(center + normal * radius)
                    normals.append(normal)
                }
            }
            for ring in 0..<(rings - 1) {
                for step in 0..<around {
                    let next = (step + 1) % around
                    let low = base + ring * around
                    quads.append(
                        Quad(corners: (low + step, low + next, low + around + next, low + around + step)))
                }
            }
        }
    }
}

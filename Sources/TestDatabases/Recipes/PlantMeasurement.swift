import PlantDBCore

/// Skeleton, tree and measures of a plant, as the last tasks of the pipeline write them.
struct PlantMeasurement: Sendable {
    private let plant: PlantModel
    private let measures: Measures

    init(plant: PlantModel, measures: Measures) {
        self.plant = plant
        self.measures = measures
    }

    private struct Node {
        var position: Vector
        var fruit: Int?
        var isBranching: Bool
    }

    /// The stem with its branching points in order, and for each fruit two nodes at its end.
    private var tree: (nodes: [Node], edges: [(Int, Int)]) {
        var nodes: [Node] = []
        var edges: [(Int, Int)] = []
        var places = plant.stem.map { ($0, nil as Int?) }
        places += plant.branchingPoints.enumerated().map { ($1, $0) }
        places.sort { $0.0.z < $1.0.z }
        var branching: [Int: Int] = [:]
        for (place, fruit) in places {
            if let fruit { branching[fruit] = nodes.count }
            if !nodes.isEmpty { edges.append((nodes.count - 1, nodes.count)) }
            nodes.append(Node(position: place, fruit: nil, isBranching: fruit != nil))
        }
        for segment in plant.segments where segment.organ == .pedicel || segment.organ == .fruit {
            let isPedicel = segment.organ == .pedicel
            guard let start = branching[segment.number] else { continue }
            // A fruit hangs on the node that its pedicel has added.
            edges.append((isPedicel ? start : nodes.count - 1, nodes.count))
            nodes.append(Node(position: segment.to, fruit: segment.number, isBranching: false))
        }
        return (nodes, edges)
    }

    var treeGraph: [UInt8] {
        let tree = tree
        let stemCount = plant.stem.count + plant.branchingPoints.count
        return PickledGraph.bytes(
            nodes: tree.nodes.enumerated().map { number, node in
                var labels: [String] = number < stemCount ? ["stem"] : ["fruit"]
                if node.isBranching { labels.append("node") }
                return PickledGraph.Node(position: node.position, labels: labels, fruit: node.fruit)
            }, edges: tree.edges)
    }

    var skeleton: JSONValue {
        let tree = tree
        return [
            "points": .array(tree.nodes.map(\.position.json)),
            "lines": .array(tree.edges.map { [.number($0.0), .number($0.1)] }),
        ]
    }

    /// Angles in degrees, internodes in world units, and points along each fruit.
    var sequence: JSONValue {
        let points = plant.branchingPoints
        let internodes = zip(points, points.dropFirst()).map { JSONValue.number(($1 - $0).length) }
        let fruits = plant.segments.filter { $0.organ == .fruit }
        return [
            "angles": .array(measures.angles.map { .number($0 * (360 / Angle.turn)) }),
            "internodes": .array(internodes),
            "fruit_points": .array(
                fruits.map { fruit in
                    .array((0...8).map { (fruit.from + (fruit.to - fruit.from) * (Double($0) / 8)).json })
                }),
        ]
    }

    var fruitDirections: JSONValue {
        let fruits = plant.segments.filter { $0.organ == .fruit }
        return [
            "fruit_dirs": numbered(fruits.map { ($0.to - $0.from).normalized }), "bp_coords": branchingPoints,
        ]
    }

    var stemDirections: JSONValue {
        let axis = plant.stem[plant.stem.count - 1] - plant.stem[0]
        return [
            "stem_dirs": numbered(plant.branchingPoints.map { _ in axis.normalized }),
            "bp_coords": branchingPoints,
        ]
    }

    private var branchingPoints: JSONValue { numbered(plant.branchingPoints) }

    private func numbered(_ vectors: [Vector]) -> JSONValue {
        .object(JSONObject(vectors.enumerated().map { (String($0), $1.json) }))
    }
}

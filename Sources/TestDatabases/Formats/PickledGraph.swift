/// A tree graph as Python pickles a `networkx.Graph` (protocol 2, of the documentation in
/// CPython's `pickletools`): node attributes `position`, `labels` and, on a branching point,
/// `fruit_id`; edges without attributes.
struct PickledGraph {
    struct Node {
        var position: Vector
        var labels: [String]
        var fruit: Int?
    }

    private var bytes: [UInt8] = [0x80, 2]

    static func bytes(nodes: [Node], edges: [(Int, Int)]) -> [UInt8] {
        var pickle = PickledGraph()
        pickle.write(nodes: nodes, edges: edges)
        return pickle.bytes
    }

    private mutating func write(nodes: [Node], edges: [(Int, Int)]) {
        // GLOBAL, EMPTY_TUPLE, NEWOBJ: an instance without calling its initializer.
        bytes += Array("cnetworkx.classes.graph\nGraph\n)".utf8) + [0x81]
        // EMPTY_DICT, MARK … SETITEMS: its attributes.
        dictionary { pickle in
            pickle.text("graph")
            pickle.bytes.append(UInt8(ascii: "}"))
            pickle.text("_node")
            pickle.dictionary { pickle in
                for (number, node) in nodes.enumerated() {
                    pickle.integer(number)
                    pickle.dictionary { $0.attributes(of: node) }
                }
            }
            pickle.text("_adj")
            pickle.adjacency(count: nodes.count, edges: edges)
        }
        bytes += Array("b.".utf8)  // BUILD, STOP
    }

    private mutating func attributes(of node: Node) {
        text("position")
        list { pickle in
            for value in [node.position.x, node.position.y, node.position.z] {
                pickle.bytes.append(UInt8(ascii: "G"))
                withUnsafeBytes(of: value.bitPattern.bigEndian) { pickle.bytes += Array($0) }
            }
        }
        text("labels")
        list { pickle in for label in node.labels { pickle.text(label) } }
        if let fruit = node.fruit {
            text("fruit_id")
            integer(fruit)
        }
    }

    private mutating func adjacency(count: Int, edges: [(Int, Int)]) {
        var neighbours = [[Int]](repeating: [], count: count)
        for (from, to) in edges {
            neighbours[from].append(to)
            neighbours[to].append(from)
        }
        dictionary { pickle in
            for number in 0..<count {
                pickle.integer(number)
                pickle.dictionary { pickle in
                    for neighbour in neighbours[number] {
                        pickle.integer(neighbour)
                        pickle.bytes.append(UInt8(ascii: "}"))
                    }
                }
            }
        }
    }

    private mutating func dictionary(_ items: (inout PickledGraph) -> Void) {
        bytes += Array("}(".utf8)
        items(&self)
        bytes.append(UInt8(ascii: "u"))
    }

    private mutating func list(_ items: (inout PickledGraph) -> Void) {
        bytes += Array("](".utf8)
        items(&self)
        bytes.append(UInt8(ascii: "e"))
    }

    private mutating func text(_ text: String) {
        bytes.append(UInt8(ascii: "X"))
        bytes.appendLittleEndian(UInt32(text.utf8.count))
        bytes += Array(text.utf8)
    }

    private mutating func integer(_ value: Int) {
        bytes.append(UInt8(ascii: "J"))
        bytes.appendLittleEndian(Int32(value))
    }
}

/// What was used last, by name; what was not is forgotten for something new.
struct RecentItems<Item> {
    let limit: Int
    /// The least recently used first.
    private var order: [String] = []
    private(set) var all: [String: Item] = [:]

    init(limit: Int) { self.limit = limit }

    subscript(id: String) -> Item? {
        mutating get {
            if all[id] != nil { touch(id) }
            return all[id]
        }
        set { all[id] = newValue }
    }

    private mutating func touch(_ id: String) {
        order.removeAll { $0 == id }
        order.append(id)
    }

    /// - Returns: what is forgotten for it.
    @discardableResult
    mutating func add(_ item: Item, as id: String) -> Item? {
        all[id] = item
        touch(id)
        return order.count > limit ? remove(order[0]) : nil
    }

    mutating func remove(_ id: String) -> Item? {
        order.removeAll { $0 == id }
        return all.removeValue(forKey: id)
    }

    mutating func removeAll() -> [Item] {
        defer { (order, all) = ([], [:]) }
        return Array(all.values)
    }
}

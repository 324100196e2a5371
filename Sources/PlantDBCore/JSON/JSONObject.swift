/// The members of a JSON object in the order of their insertion, as Python's `dict` has them.
///
/// Looking a key up costs O(1), or a scan of at most 8 members. Removing costs O(n).
public struct JSONObject: Sendable {
    public private(set) var members: [Member]
    /// Where each key stands; empty while the object is small.
    private var positions: [ExactText: Int]

    public struct Member: Sendable {
        public let key: String
        public internal(set) var value: JSONValue
    }

    private static let smallCount = 8

    public init() {
        members = []
        positions = [:]
    }

    /// The last of several members with one key wins, at the place of the first, as in Python.
    public init(_ members: some Sequence<(String, JSONValue)>) {
        self.init()
        for (key, value) in members { self[key] = value }
    }

    public var keys: [String] { members.map(\.key) }
    public var count: Int { members.count }
    public var isEmpty: Bool { members.isEmpty }

    /// The value of `key`. Assigning to a key that is there keeps its place; assigning nil
    /// removes it (assign `.null` for a JSON null).
    public subscript(key: String) -> JSONValue? {
        get { position(of: key).map { members[$0].value } }
        set {
            switch (position(of: key), newValue) {
            case (let position?, let value?): members[position].value = value
            case (let position?, nil): remove(at: position)
            case (nil, let value?): append(key, value)
            case (nil, nil): break
            }
        }
    }

    /// Takes over the members of `other`; where both have a key, those of `other` win.
    public mutating func merge(_ other: JSONObject) {
        for member in other.members { self[member.key] = member.value }
    }

    private func position(of key: String) -> Int? {
        if members.count > Self.smallCount { return positions[ExactText(key)] }
        let length = key.utf8.count
        return members.firstIndex { $0.key.utf8.count == length && $0.key.utf8.elementsEqual(key.utf8) }
    }

    private mutating func append(_ key: String, _ value: JSONValue) {
        members.append(Member(key: key, value: value))
        if members.count == Self.smallCount + 1 {
            index()
        } else if members.count > Self.smallCount {
            positions[ExactText(key)] = members.count - 1
        }
    }

    private mutating func remove(at position: Int) {
        members.remove(at: position)
        index()
    }

    private mutating func index() {
        positions = [:]
        guard members.count > Self.smallCount else { return }
        for (position, member) in members.enumerated() { positions[ExactText(member.key)] = position }
    }
}

extension JSONObject: Hashable {
    /// Without regard to the order of the keys, as in Python.
    public static func == (lhs: JSONObject, rhs: JSONObject) -> Bool {
        lhs.count == rhs.count && lhs.members.allSatisfy { rhs[$0.key] == $0.value }
    }

    public func hash(into hasher: inout Hasher) {
        // The order must not count, so the members' hashes are added.
        var sum = 0
        for member in members {
            var own = Hasher()
            own.combine(ExactText(member.key))
            own.combine(member.value)
            sum &+= own.finalize()
        }
        hasher.combine(members.count)
        hasher.combine(sum)
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}

import PlantDBCore

/// Which scans are asked for: those whose metadata hold what the query holds.
struct MetadataQuery: Sendable {
    private let wanted: JSONObject
    private let isFuzzy: Bool

    /// - Parameters:
    ///   - text: a JSON object, as Python's clients send it.
    ///   - isFuzzy: texts need only be contained, in any case of letters.
    /// - Throws: `invalidArgument`.
    init(_ text: String, isFuzzy: Bool) throws(DatabaseError) {
        let value: JSONValue?
        do throws(DatabaseError) { value = try JSONValue(parsing: Array(text.utf8)) } catch { value = nil }
        guard let wanted = value?.object else {
            throw DatabaseError(
                .invalidArgument,
                "the query must be a JSON object such as {\"object\": {\"species\": \"Arabidopsis\"}}")
        }
        self.wanted = wanted
        self.isFuzzy = isFuzzy
    }

    func matches(_ metadata: JSONObject) -> Bool { contains(metadata, wanted) }

    private func contains(_ object: JSONObject, _ wanted: JSONObject) -> Bool {
        wanted.members.allSatisfy { member in
            guard let found = object[member.key] else { return false }
            return matches(found, member.value)
        }
    }

    private func matches(_ found: JSONValue, _ wanted: JSONValue) -> Bool {
        switch (found, wanted) {
        case (.object(let found), .object(let wanted)): contains(found, wanted)
        case (.string(let found), .string(let wanted)) where isFuzzy:
            found.lowercased().contains(wanted.lowercased())
        case (.number, .number): found.double == wanted.double
        default: found == wanted
        }
    }
}

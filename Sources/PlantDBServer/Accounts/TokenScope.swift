import Glibc
import PlantDBCore

/// What a token for programs may do: permissions by pattern of scan names, as upstream has it.
struct TokenScope: Sendable {
    enum Permission: String, Sendable, Hashable, CaseIterable {
        case read, write, create
    }

    private let rules: [(pattern: String, permissions: Set<Permission>)]

    /// - Throws: `invalidArgument` for a permission that is none, and for no rule at all.
    init(_ datasets: JSONObject) throws(DatabaseError) {
        var rules: [(String, Set<Permission>)] = []
        for member in datasets.members {
            var permissions: Set<Permission> = []
            for item in member.value.array ?? [] {
                // `write`, or `Permission.WRITE` as Python shows a member of an enumeration.
                guard let text = item.string,
                    let permission = Permission(
                        rawValue: text.lowercased().split(separator: ".").last.map(String.init) ?? "")
                else {
                    throw DatabaseError(
                        .invalidArgument,
                        "“datasets” gives a permission that is none: read, write and create are")
                }
                permissions.insert(permission)
            }
            rules.append((member.key, permissions))
        }
        guard rules.contains(where: { !$0.1.isEmpty }) else {
            throw DatabaseError(.invalidArgument, "“datasets” permits nothing")
        }
        self.rules = rules.map { (pattern: $0.0, permissions: $0.1) }
    }

    /// - Parameter scan: by its own name.
    func permits(_ permission: Permission, on scan: some StringProtocol) -> Bool {
        let name = String(scan)
        return rules.contains { $0.permissions.contains(permission) && fnmatch($0.pattern, name, 0) == 0 }
    }
}

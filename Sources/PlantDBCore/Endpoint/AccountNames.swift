/// Who has an account on a database, by name: what the owners and the sharing of its scans refer to.
public struct AccountNames: Sendable, Hashable {
    public var users: Set<String>
    /// nil: the release that keeps this database knows no groups.
    public var groups: Set<String>?

    public init(users: Set<String>, groups: Set<String>?) {
        self.users = users
        self.groups = groups
    }

    /// What `users.json` and `groups.json` hold: an object by login (release 0.14, which knows no groups), or an
    /// array of users (later ones) and an object by group, which is an empty file until there is one.
    ///
    /// - Parameter groups: nil: there is no such file.
    /// - Throws: `invalidData`, with the name of the file at fault as its path.
    package init(usersFile users: [UInt8], groupsFile groups: [UInt8]?) throws(DatabaseError) {
        var names: Set<String>?
        if let groups, !groups.isEmpty {
            guard let known = try Self.parse(groups, DatabaseLayout.groups).object else {
                throw Self.wrongShape("no object", DatabaseLayout.groups)
            }
            names = Set(known.members.map(\.key))
        }
        switch try Self.parse(users, DatabaseLayout.accounts) {
        case .object(let logins): self.init(users: Set(logins.members.map(\.key)), groups: names)
        case .array(let list):
            self.init(users: Set(list.compactMap { $0["username"]?.string }), groups: names ?? [])
        default: throw Self.wrongShape("neither an object nor an array", DatabaseLayout.accounts)
        }
    }

    private static func wrongShape(_ what: String, _ file: String) -> DatabaseError {
        DatabaseError(.invalidData, "it is \(what)", path: file)
    }

    private static func parse(_ bytes: [UInt8], _ file: String) throws(DatabaseError) -> JSONValue {
        do throws(DatabaseError) { return try JSONValue(parsing: bytes) } catch {
            throw error.locating(scan: nil, path: file)
        }
    }
}

/// A database that says who has an account on it. Servers do not: their accounts are nobody's to read.
public protocol AccountListing: Sendable {
    /// nil: there are none, and the next release that opens the database makes some.
    func accountNames() async throws(DatabaseError) -> AccountNames?
}

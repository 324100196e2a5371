import PlantDBCore

/// Whose an option is that was given without saying for which side.
///
/// A secret belongs to one side: it goes to the only one that can use it. Where both can, an option goes
/// to the one that has none of its own, or to both if they are one server; else the command is refused
/// before anything is connected to. What stands in the environment was not said for this command, so it is never what is left over for
/// the other side.
struct AccessAllotment {
    /// A database that the command was given.
    struct Side {
        /// `source-` or `target-`; nothing where there is only one.
        var prefix: String
        /// As it was given, without secrets.
        var shown: String
        /// What that stands for.
        var location: String
        /// What options for this side say, and variables for it.
        var options = GivenAccess()
        var environment = GivenAccess()
        /// What the configuration says, where the database is a named one.
        var named = GivenAccess()

        var scheme: LocationScheme { LocationScheme(of: location) }

        /// Whom a secret is shown to: `ssh://ada@lab:22` of `ssh://ada@lab:22/data`.
        var server: Substring {
            let parts = location.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
            return parts.prefix(3).last.map { location[..<$0.endIndex] } ?? location[...]
        }

        /// Whether an ssh:// location says itself who logs in.
        var namesUser: Bool {
            scheme == .ssh && location.dropFirst("ssh://".count).prefix { $0 != "/" }.contains("@")
        }

        func has(anyOf wanted: [AccessOption]) -> Bool {
            [options, environment, named].contains { $0.has(anyOf: wanted) }
        }
    }

    /// Options for any side, and the same from the environment.
    var options = GivenAccess()
    var environment = GivenAccess()

    /// What goes together: a password belongs to the account that it was given for.
    private static let groups: [[AccessOption]] = [
        [.tokenFile], [.user] + AccessOption.password, [.identity], [.cacert], [.sendTokenUnencrypted],
    ]
    /// No secrets, and of the same use for every host.
    private static let shared: [AccessOption] = [.sshOption, .acceptNewHostKey]

    /// - Returns: for each side what holds there.
    /// - Throws: `invalidArgument` where an option could be either side's, or is of no use to the side
    ///   that it was given for.
    func allotted(to sides: [Side]) throws(DatabaseError) -> [GivenAccess] {
        for side in sides {
            for option in side.options.options where !option.isOf(side.scheme) {
                throw DatabaseError(
                    .invalidArgument,
                    "--\(side.prefix)\(option.rawValue) is for \(option.users), and \(side.shown) is none")
            }
        }
        var results = sides.map {
            $0.options.filled(from: $0.environment).filled(from: options, Self.shared)
        }
        for group in Self.groups {
            for index in try owners(of: group, sides) {
                // Who logs in by ssh is said by its location or its configuration, and not by the way.
                let ambient = sides[index].scheme == .ssh ? group.filter { $0 != .user } : group
                results[index] = results[index].filled(from: options, group)
                    .filled(from: environment, ambient)
            }
        }
        for index in sides.indices { results[index] = results[index].filled(from: sides[index].named) }
        return results
    }

    private func owners(of group: [AccessOption], _ sides: [Side]) throws(DatabaseError) -> [Int] {
        guard options.has(anyOf: group) || environment.has(anyOf: group) else { return [] }
        let candidates = sides.indices.filter { couldUse(group, sides[$0], sides) }
        if candidates.count < 2 { return candidates }
        let secrets = group.filter { $0 != .user }
        let bare = candidates.filter { !sides[$0].has(anyOf: secrets) }
        let isSaid = options.has(anyOf: group)
        if bare.count == 1 { return isSaid ? bare : [] }
        if !isSaid && bare.isEmpty { return [] }
        // The same server sees it either way.
        if bare.count == candidates.count, Set(bare.map { sides[$0].server }).count == 1 { return bare }
        let option = group.first { (isSaid ? options : environment)[flag: $0] } ?? group[0]
        let name = isSaid ? "--\(option.rawValue)" : AccessOption.variable(option, prefix: "")
        let ways = candidates.map { "--\(sides[$0].prefix)\(option.rawValue)" }.joined(separator: " or ")
        throw DatabaseError(
            .invalidArgument,
            "\(name) could be meant for \(candidates.map { sides[$0].shown }.joined(separator: " and for ")), "
                + "and is given to neither: say \(ways), or name a database with what it needs "
                + "(plantdb remote add)")
    }

    private func couldUse(_ group: [AccessOption], _ side: Side, _ sides: [Side]) -> Bool {
        guard group.contains(where: { $0.isOf(side.scheme) }) else { return false }
        guard group.contains(.user) else { return true }
        let hasServer = sides.contains { $0.scheme.isServer }
        if options[flag: .user] || (environment[flag: .user] && hasServer) {
            // An account is one of a server; an ssh:// location can say itself who logs in.
            return side.scheme.isServer || (!hasServer && !side.namesUser)
        }
        return side.scheme == .ssh || side.has(anyOf: [.user])
    }
}

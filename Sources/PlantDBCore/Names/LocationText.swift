extension String {
    /// A location as it was given, without what may be secret in it, for logs and reports: what stands
    /// between the first colon and the last @ (a password may hold any character, also where it should
    /// have been escaped), and of http(s) whatever stands before an @, in a query or in a fragment.
    package var withoutSecrets: String {
        guard let scheme = firstRange(of: "://") else {
            // user:password@host:path, as nobody should write it.
            guard let at = firstIndex(of: "@"), let colon = self[..<at].firstIndex(of: ":"),
                !self[..<colon].contains("/")
            else { return self }
            return "\(self[...colon])…\(self[at...])"
        }
        var rest = String(self[scheme.upperBound...])
        let isHTTP = self[..<scheme.lowerBound].lowercased().hasPrefix("http")
        // In the authority, if there is one; a password may hold what begins a query, unescaped.
        let authority = rest.prefix { !isHTTP || $0 != "?" && $0 != "#" }
        if let at = authority.lastIndex(of: "@") ?? rest.lastIndex(of: "@") {
            let user = rest[..<at]
            if let colon = user.firstIndex(of: ":") {
                rest = "\(user[...colon])…\(rest[at...])"
            } else if isHTTP, !user.contains("/") {
                rest = "…\(rest[at...])"
            }
        }
        var end = ""
        if isHTTP, let mark = rest.firstIndex(where: { $0 == "?" || $0 == "#" }) {
            end = "\(rest[mark])…"
            rest = String(rest[..<mark])
        }
        return "\(self[..<scheme.upperBound])\(rest)\(end)"
    }

    /// Whether a location without `://` looks like one of another machine (`host:path`, as scp and rsync
    /// write it, or `http:/host`): it holds a colon before its first slash.
    package var looksLikeAnotherMachine: Bool {
        guard let colon = firstIndex(of: ":"), colon != startIndex else { return false }
        return !self[..<colon].contains("/")
    }
}

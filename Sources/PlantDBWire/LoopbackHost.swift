/// Names and addresses of this machine that reach nobody else.
package enum LoopbackHost {
    /// `localhost`, `::1`, and 127.0.0.0/8 in four numbers (RFC 1122, section 3.2.1.3). A name that merely
    /// begins like that may be anybody's.
    package static func isOne(_ host: String) -> Bool {
        if host.lowercased() == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        // An integer's initialiser would take a sign as well.
        return parts.count == 4 && parts[0] == "127"
            && parts.allSatisfy { $0.utf8.allSatisfy { 0x30...0x39 ~= $0 } && UInt8($0) != nil }
    }
}

/// Names and addresses of this machine that reach nobody else.
enum LoopbackHost {
    /// `localhost`, `::1`, and 127.0.0.0/8 in four numbers (RFC 1122, section 3.2.1.3). A name that merely
    /// begins like that may be anybody's.
    static func isOne(_ host: String) -> Bool {
        if host.lowercased() == "localhost" || host == "::1" { return true }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return numbers.count == 4 && numbers.allSatisfy { $0 != nil } && numbers[0] == 127
    }
}

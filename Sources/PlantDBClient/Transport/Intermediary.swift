import PlantDBCore

/// What was answered by somebody who stands before a server: a proxy, a gate, another server.
extension HTTPAnswer {
    /// What a redirect means, in a sentence.
    var redirectText: String {
        let place = headers.first(name: "location").map { String($0.prefix(200)).printable.withoutSecrets }
        return
            "\(address) sends to \(place ?? "another address"), and redirects are not followed; if the server is "
            + "there, give that address"
    }

    /// A login that is nobody's of ours; nil: none is asked for.
    var foreignLogin: DatabaseError? {
        guard status == 401 || status == 407 else { return nil }
        let wanted = headers[status == 401 ? "www-authenticate" : "proxy-authenticate"]
            .filter { !$0.lowercased().hasPrefix("bearer") }
        guard status == 407 || !wanted.isEmpty else { return nil }
        let kinds = wanted.isEmpty ? nil : wanted.joined(separator: ", ").prefix(200)
        let advice =
            status == 407
            ? "a proxy on the way wants a login: it stands in http_proxy and its kin, as http://user:password@proxy:3128"
            : "a proxy before it wants a login of its own, which plantdb does not give; let plantdb pass there, or "
                + "reach the server past it"
        return DatabaseError(
            .authentication, "\(address) was not reached: \(advice)",
            cause: "status \(status)" + (kinds.map { ": \($0)".printable } ?? ""))
    }
}

extension DatabaseError {
    /// 413: no disk is full.
    static func tooLarge(_ what: String, cause: String?) -> DatabaseError {
        DatabaseError(
            .unsupported,
            "\(what): nothing that large is taken there; raise the limit of the server, or of the proxy before it "
                + "(nginx: client_max_body_size)", cause: cause)
    }
}

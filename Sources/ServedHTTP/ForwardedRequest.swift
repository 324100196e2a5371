import HTTPTypes

/// A request that a proxy handed on: it comes from wherever the proxy's clients are, whatever its `Host` says.
package enum ForwardedRequest {
    /// `Forwarded` (RFC 7239), `Via` (RFC 9110, section 7.6.3), and what is in use beside them.
    ///
    /// A proxy may be set up to say none of these; nothing tells its requests from others then.
    package static func isOne(_ headers: HTTPFields) -> Bool {
        headers.contains { field in
            let name = field.name.canonicalName
            return names.contains(name) || name.hasPrefix("x-forwarded")
        }
    }

    private static let names: Set<String> = [
        "forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original-forwarded-for",
        "true-client-ip", "cf-connecting-ip", "fastly-client-ip",
    ]
}

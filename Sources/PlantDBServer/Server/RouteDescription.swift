/// What a call of the REST API is for, for ``OpenAPIDocument``.
struct RouteDescription: Sendable, Hashable {
    enum Body: Sendable, Hashable {
        case none
        /// An object with these keys; those that are optional end with `?`.
        case json([String])
        /// A form with these fields, and these files.
        case form(fields: [String], files: [String])
        /// Bytes.
        case raw
    }

    var summary: String
    var body = Body.none
    /// Of the query.
    var query: [String] = []
    /// Whether it makes a scan, for which a limited token needs another permission than for writing.
    var makesScan = false
    /// Whether it tells nothing of any scan, so that a token that is limited to some scans may call it.
    var isAboutNoScan = false

    init(
        _ summary: String, body: Body = .none, query: [String] = [], makesScan: Bool = false,
        isAboutNoScan: Bool = false
    ) {
        self.summary = summary
        self.body = body
        self.query = query
        self.makesScan = makesScan
        self.isAboutNoScan = isAboutNoScan
    }
}

import PlantDBCore

/// The JSON bodies, each way in one place so that the two cannot drift apart.
enum PeerJSON {
    static func error(_ error: DatabaseError) -> JSONValue {
        // Clients of upstream's 0.14 read “message”.
        var object = JSONObject([
            ("error", .string(error.message)), ("message", .string(error.message)),
            ("code", .string(error.code.rawValue)),
        ])
        if let cause = error.cause { object["cause"] = .string(cause) }
        if let scan = error.scan { object["scan"] = .string(scan.rawValue) }
        if let path = error.path { object["path"] = .string(path) }
        return .object(object)
    }

    static func error(_ value: JSONValue) throws(DatabaseError) -> DatabaseError {
        guard let message = value["error"]?.string,
            let code = value["code"]?.string.flatMap(DatabaseError.Code.init(rawValue:))
        else { throw PeerFrameDecoder.invalid("an error without its code") }
        // The words are the server's: nothing of them reaches a terminal unprinted.
        return DatabaseError(
            code, message.printable, cause: value["cause"]?.string?.printable,
            scan: try value["scan"]?.string.map { (text) throws(DatabaseError) in try ScanID(text) },
            path: value["path"]?.string?.printable)
    }

    static func skipped(_ entry: SkippedEntry) -> JSONValue {
        var object = JSONObject([
            ("path", .string(entry.path)), ("reason", .string(entry.reason.rawValue)),
        ])
        if let detail = entry.detail { object["detail"] = .string(detail) }
        return .object(object)
    }

    static func skipped(_ value: JSONValue) throws(DatabaseError) -> SkippedEntry {
        guard let path = value["path"]?.string,
            let reason = value["reason"]?.string.flatMap(SkippedEntry.Reason.init(rawValue:))
        else { throw PeerFrameDecoder.invalid("a skipped entry without its reason") }
        return SkippedEntry(
            path: path.printable, reason: reason, detail: value["detail"]?.string?.printable)
    }
}

extension DatabaseError {
    /// The body of an answer that failed, which ``init(peerBody:)`` makes the same error of.
    public var peerBody: [UInt8] { PeerJSON.error(self).pythonBytes() }

    /// nil if the body is not one of ``peerBody``.
    public init?(peerBody: [UInt8]) {
        do throws(DatabaseError) { self = try PeerJSON.error(JSONValue(parsing: peerBody)) } catch {
            // Not an error of its own: it is how everybody else's answers look.
            return nil
        }
    }

    /// The status of such an answer (RFC 9110, section 15).
    public var peerStatus: Int {
        switch code {
        case .invalidArgument, .invalidName, .invalidData: 400
        case .authentication: 401
        case .permissionDenied: 403
        case .notFound, .notADatabase: 404
        case .alreadyExists, .conflict, .sourceChanged, .deletionGuard, .emptySource: 409
        case .verificationFailed: 422
        case .locked: 423
        case .unsupported: 501
        case .noSpace: 507
        case .unreachable, .cancelled: 503
        case .io: 500
        }
    }
}

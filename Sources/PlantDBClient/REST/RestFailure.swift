import PlantDBCore

/// What a server of upstream's says when it cannot do something.
enum RestFailure {
    /// The words of an error's body: JSON with `message` or `error` (which key depends on release
    /// and route), or plain text; nil for HTML and for nothing. At most 300 characters, printable.
    static func words(of body: [UInt8]) -> String? {
        var text: String?
        if case .object(let object)? = try? JSONValue(parsing: body) {  // Not JSON: it may be text.
            text = object["message"]?.string ?? object["error"]?.string
        } else {
            text = String(validating: body, as: UTF8.self)
        }
        guard let words = text?.split(whereSeparator: \.isWhitespace).joined(separator: " "),
            !words.isEmpty, words.first != "<", words.first != "{"
        else { return nil }
        return String(words.prefix(300)).printable
    }

    /// An answer with a status that is no success.
    ///
    /// - Parameters:
    ///   - server: its address.
    ///   - doing: "read the archive of scan x".
    static func error(status: Int, body: [UInt8], server: String, doing: String) -> DatabaseError {
        let failed = "\(server) did not \(doing)"
        let cause = words(of: body).map { "status \(status): \($0)" } ?? "status \(status)"
        func error(_ code: DatabaseError.Code, _ advice: String) -> DatabaseError {
            DatabaseError(code, "\(failed): \(advice)", cause: cause)
        }
        return switch status {
        case 300..<400:
            error(
                .unreachable,
                "it sends elsewhere, and redirects are not followed; give the address that it means")
        case 401:
            error(
                .authentication,
                "the login was refused or is over; give --user with --password-file or --ask-pass")
        case 403: error(.permissionDenied, "it does not allow this to whoever you are")
        case 404: error(.notFound, "it does not have it, or shows it to others only")
        case 413: .tooLarge(failed, cause: cause)
        case 429: error(.unreachable, "it is asked too often, perhaps by somebody else too; try again later")
        case 502, 503, 504: error(.unreachable, "it is busy or half there; try again later")
        case 507: error(.noSpace, "it has no space left")
        default: error(.io, "its log says why")
        }
    }
}

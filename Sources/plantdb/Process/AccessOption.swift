/// An option that says how a database on another machine is reached; `--token-file` for any side,
/// `--source-token-file` and `--target-token-file` for one.
enum AccessOption: String, CaseIterable, Sendable {
    case identity
    case sshOption = "ssh-option"
    case acceptNewHostKey = "accept-new-host-key"
    case askPass = "ask-pass"
    case passwordFile = "password-file"
    case user
    case tokenFile = "token-file"
    case cacert
    case sendTokenUnencrypted = "send-token-unencrypted"

    /// Whether a location of this kind has any use for it.
    func isOf(_ kind: LocationScheme) -> Bool {
        switch self {
        case .identity, .sshOption, .acceptNewHostKey: kind == .ssh
        case .askPass, .passwordFile, .user: kind != .path
        case .tokenFile: kind == .http || kind == .https
        case .cacert: kind == .https
        case .sendTokenUnencrypted: kind == .http
        }
    }

    /// What it is of use for, in words.
    var users: String {
        switch self {
        case .identity, .sshOption, .acceptNewHostKey: "ssh:// locations"
        case .askPass, .passwordFile, .user: "ssh:// and http(s):// locations"
        case .tokenFile: "http(s):// locations"
        case .cacert: "https:// locations"
        case .sendTokenUnencrypted: "http:// locations"
        }
    }

    /// The variables that count where the option is not given: `PLANTDB_TOKEN_FILE`,
    /// `PLANTDB_SOURCE_TOKEN_FILE` and so on.
    private static let inEnvironment: [Self] = [.identity, .passwordFile, .user, .tokenFile, .cacert]

    /// - Parameter prefix: of the side's options: nothing, `source-` or `target-`.
    static func environment(prefix: String) -> GivenAccess {
        var given = GivenAccess()
        for option in inEnvironment {
            let name = Self.variable(option, prefix: prefix)
            if let value = Terminal.environment(name), !value.isEmpty { given[option] = [value] }
        }
        return given
    }

    static func variable(_ option: Self, prefix: String) -> String {
        "PLANTDB_" + (prefix + option.rawValue).uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
    }
}

/// What of a location decides which options are of use for it.
enum LocationScheme: Sendable {
    case path, ssh, http, https

    init(of location: String) {
        guard let separator = location.firstRange(of: "://") else {
            self = .path
            return
        }
        switch location[..<separator.lowerBound].lowercased() {
        case "ssh": self = .ssh
        case "http": self = .http
        case "https": self = .https
        default: self = .path
        }
    }

    var isServer: Bool { self == .http || self == .https }
}

/// What one place (options, environment, configuration) says about reaching a database. Secrets are not
/// in it, only where they lie.
struct GivenAccess: Sendable, Equatable {
    private var values: [AccessOption: [String]] = [:]

    /// nil: not given. A flag that is given has no values.
    subscript(option: AccessOption) -> [String]? {
        get { values[option] }
        set { values[option] = newValue }
    }

    subscript(flag option: AccessOption) -> Bool {
        get { values[option] != nil }
        set { values[option] = newValue ? [] : nil }
    }

    subscript(one option: AccessOption) -> String? {
        get { values[option]?.first }
        set { values[option] = newValue.map { [$0] } }
    }

    var options: [AccessOption] { AccessOption.allCases.filter { values[$0] != nil } }

    func has(anyOf options: [AccessOption]) -> Bool { options.contains { values[$0] != nil } }

    /// Of a password the file and the prompt exclude each other, so a given one of them hides the other's.
    func filled(from other: GivenAccess, _ options: [AccessOption] = AccessOption.allCases) -> GivenAccess {
        let hasPassword = has(anyOf: AccessOption.password)
        var result = self
        for option in options where !(hasPassword && AccessOption.password.contains(option)) {
            // ssh takes the first of several values.
            if option == .sshOption, let more = other[option] {
                result[option] = (result[option] ?? []) + more
            } else {
                result[option] = result[option] ?? other[option]
            }
        }
        return result
    }
}

extension AccessOption {
    static let password: [Self] = [.askPass, .passwordFile]
}

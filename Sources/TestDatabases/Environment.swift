import Glibc

/// Variables of the environment, read without Foundation.
public enum Environment {
    /// The value of `name`; nil if it is not set or empty.
    public static func value(of name: String) -> String? {
        guard let text = getenv(name).map({ String(cString: $0) }), !text.isEmpty else { return nil }
        return text
    }
}

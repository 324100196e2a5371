/// A TOML file as upstream's tools back up their configuration: tables of scalar values.
struct Configuration {
    private var tables: [String] = []

    enum Value {
        case text(String)
        case whole(Int)
        case real(Double)
        case truth(Bool)
        case list([Int])

        var toml: String {
            switch self {
            // No value of ours needs escapes but for double quotes.
            case .text(let text):
                "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"")
                    + "\""
            case .whole(let number): String(number)
            case .real(let number): String(number)
            case .truth(let value): value ? "true" : "false"
            case .list(let numbers): "[ " + numbers.map { "\($0)," }.joined(separator: " ") + "]"
            }
        }
    }

    mutating func table(_ name: String, _ values: KeyValuePairs<String, Value>) {
        tables.append("[\(name)]\n" + values.map { "\($0.key) = \($0.value.toml)\n" }.joined())
    }

    /// What every configuration of the pipeline's runner holds.
    mutating func returnCodes() {
        table(
            "retcode",
            [
                "already_running": .whole(10), "missing_data": .whole(20), "not_run": .whole(25),
                "task_failed": .whole(30), "scheduling_error": .whole(35), "unhandled_exception": .whole(40),
            ])
    }

    var text: String { tables.joined(separator: "\n") }
}

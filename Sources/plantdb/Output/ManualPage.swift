import ArgumentParser

/// Manual pages (man(7), mandoc_roff(7)) made from the commands' own help, so that they cannot differ.
enum ManualPage {
    /// Every page by its file name: `plantdb.1`, `plantdb-sync.1` and so on.
    static func all() -> [(name: String, text: String)] { pages(of: Plantdb.self, words: ["plantdb"]) }

    private static func pages(of command: any ParsableCommand.Type, words: [String]) -> [(
        name: String, text: String
    )] {
        let configuration = command.configuration
        var pages = [(words.joined(separator: "-") + ".1", page(of: command, words: words))]
        for child in configuration.subcommands + configuration.groupedSubcommands.flatMap(\.subcommands)
        where child.configuration.shouldDisplay {
            pages += self.pages(
                of: child, words: words + [child.configuration.commandName ?? child._commandName])
        }
        return pages
    }

    private static func page(of command: any ParsableCommand.Type, words: [String]) -> String {
        let name = words.joined(separator: "-")
        var lines = [
            ".TH \(name.uppercased()) 1 \"\(Version.date)\" \"plantdb \(Version.text)\" \"plantdb\"",
            ".SH NAME", "\(name) \\- \(escaped(command.configuration.abstract))",
        ]
        var isBlock = false
        func begin(_ section: String) {
            if isBlock { lines.append(".fi") }
            isBlock = true
            lines += [".SH \(section)", ".nf"]
        }
        let help = Plantdb.helpMessage(for: command, columns: 78)
        // The overview is the abstract, which stands above, an empty line, and the discussion.
        var isAbstract = false
        for line in help.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("OVERVIEW: ") {
                begin("DESCRIPTION")
                isAbstract = true
            } else if isAbstract && !line.isEmpty {
                continue
            } else if isAbstract {
                isAbstract = false
            } else if line.hasPrefix("USAGE: ") {
                begin("SYNOPSIS")
                lines.append(escaped(String(line.dropFirst("USAGE: ".count))))
            } else if let header = header(line) {
                begin(header)
            } else {
                lines.append(escaped(String(line)))
            }
        }
        if isBlock { lines.append(".fi") }
        if words.count > 1 { lines += [".SH SEE ALSO", ".BR plantdb (1)"] }
        return withoutEmptyEdges(lines).joined(separator: "\n") + "\n"
    }

    /// `EXAMPLES`, `EXIT CODES`, `OTHER MACHINES:` and so on: capitals at the line's start.
    private static func header(_ line: Substring) -> String? {
        let text = line.hasSuffix(":") ? line.dropLast() : line
        guard text.count > 3, text.allSatisfy({ $0.isUppercase || $0 == " " || $0 == "-" }), line.first != " "
        else {
            return nil
        }
        return String(text)
    }

    /// No empty line after a header or before the next one.
    private static func withoutEmptyEdges(_ lines: [String]) -> [String] {
        var kept: [String] = []
        for line in lines {
            if line == ".fi" { while kept.last == "" { kept.removeLast() } }
            if line.isEmpty && kept.last == ".nf" { continue }
            kept.append(line)
        }
        return kept
    }

    /// roff reads a backslash anywhere, a dot and an apostrophe at a line's start; a hyphen that can be
    /// copied is `\-`.
    private static func escaped(_ text: String) -> String {
        var result = ""
        if text.hasPrefix(".") || text.hasPrefix("'") { result = "\\&" }
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            default: result.append(character)
            }
        }
        return result
    }
}

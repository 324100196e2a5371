import Foundation
import Glibc
import PlantDBCore
import TOMLKit

/// The user's configuration: a TOML file (toml.io, 1.0) that people may edit.
///
/// ```toml
/// [databases.lab]
/// location = "ssh://lab/data/greenhouse"
/// identity = "~/.ssh/lab"
/// ```
///
/// What stands in it and is not known is an error by name, so that a slip of the pen is not a silent
/// default. A path that begins with `~/` is in the user's home.
public struct ConfigurationFile: Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    /// Where the command keeps it: `$PLANTDB_CONFIG`, else `$XDG_CONFIG_HOME/plantdb/config.toml`, else
    /// `~/.config/plantdb/config.toml` (XDG Base Directory Specification 0.8). nil if `PLANTDB_CONFIG`
    /// is empty, or if there is no home.
    public init?(environment: [String: String] = ProcessInfo.processInfo.environment) {
        if let path = environment["PLANTDB_CONFIG"] {
            if path.isEmpty { return nil }
            self.path = path
        } else if let folder = environment["XDG_CONFIG_HOME"], folder.hasPrefix("/") {
            // The specification: a relative path is to be ignored.
            path = folder + "/plantdb/config.toml"
        } else if let home = environment["HOME"], home.hasPrefix("/") {
            path = home + "/.config/plantdb/config.toml"
        } else {
            return nil
        }
    }

    // MARK: Reading

    /// The named databases, by their names. None where there is no file.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/invalidData`` for a file that is no TOML or holds what
    ///   is not known; ``PlantDBCore/DatabaseError/Code/io`` for one that cannot be read.
    public func databases() throws(DatabaseError) -> [NamedDatabase] { try parse(try text()) }

    /// - Throws: ``PlantDBCore/DatabaseError/Code/notFound``; else as ``databases()``.
    public func database(named name: String) throws(DatabaseError) -> NamedDatabase {
        let known = try databases()
        if let database = known.first(where: { $0.name == name }) { return database }
        let others = known.isEmpty ? "none" : known.map { $0.name + ":" }.joined(separator: ", ")
        throw DatabaseError(
            .notFound,
            "no database is named \(name): in \(path.printable) (there: \(others)). "
                + "plantdb remote add names one; a folder of this name is ./\(name):")
    }

    // MARK: Changing

    /// Names a database. What else stands in the file stays as it is written there.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/alreadyExists``; else as ``databases()``.
    public func add(_ database: NamedDatabase) throws(DatabaseError) {
        try change { (text) throws(DatabaseError) in
            guard try !parse(text).contains(where: { $0.name == database.name }) else {
                throw DatabaseError(
                    .alreadyExists,
                    "\(database.name): is named already in \(path.printable); plantdb remote remove "
                        + "\(database.name) first")
            }
            var next = text
            if !next.isEmpty { next += next.hasSuffix("\n") ? "\n" : "\n\n" }
            next += Self.table(database)
            return next
        }
    }

    /// Forgets a name; the database itself is not touched.
    ///
    /// - Throws: ``PlantDBCore/DatabaseError/Code/notFound``;
    ///   ``PlantDBCore/DatabaseError/Code/unsupported`` where it is written in a way that cannot be cut
    ///   out safely (a table of its own, as ``add(_:)`` writes it, can); else as ``databases()``.
    public func remove(named name: String) throws(DatabaseError) {
        let left = try databases().filter { $0.name != name }
        _ = try database(named: name)
        try change { (text) throws(DatabaseError) in
            let next = Self.cutting(name, from: text)
            let result: [NamedDatabase]?
            do throws(DatabaseError) { result = try parse(next) } catch { result = nil }
            guard result == left else {
                throw DatabaseError(
                    .unsupported,
                    "\(name): is not a table of its own in \(path.printable); remove it with an editor")
            }
            return next
        }
    }

    // MARK: Parts of them

    private func text() throws(DatabaseError) -> String {
        do {
            return try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
        } catch let error as CocoaError where error.code == .fileReadNoSuchFile {
            return ""
        } catch {
            throw DatabaseError(
                .io, "the configuration \(path.printable) cannot be read", cause: error.localizedDescription)
        }
    }

    /// One change at a time: each reads what the one before wrote.
    private func change(_ body: (String) throws(DatabaseError) -> String) throws(DatabaseError) {
        // A link stays one: configurations are often kept elsewhere.
        let file = URL(fileURLWithPath: path).resolvingSymlinksInPath()
        let folder = file.deletingLastPathComponent()
        do {
            try FileManager.default.createDirectory(
                at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch { throw unwritable(error.localizedDescription) }
        let lock = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard lock >= 0 else { throw unwritable(String(cString: strerror(errno))) }
        defer { close(lock) }
        // A home directory by NFS cannot be locked; of two changes at once there, one may be lost.
        guard flock(lock, LOCK_EX) == 0 || [EBADF, EINVAL, ENOSYS, EOPNOTSUPP, ENOLCK].contains(errno) else {
            throw unwritable(String(cString: strerror(errno)))
        }
        let next = try body(try text())
        if let number = WrittenFile.replace(file.path, with: Array(next.utf8), mode: 0o600) {
            throw unwritable(String(cString: strerror(number)))
        }
    }

    private func unwritable(_ cause: String) -> DatabaseError {
        DatabaseError(.io, "the configuration \(path.printable) cannot be written", cause: cause)
    }

    private func invalid(_ what: String) -> DatabaseError {
        DatabaseError(.invalidData, "the configuration \(path.printable): \(what)")
    }

    private func parse(_ text: String) throws(DatabaseError) -> [NamedDatabase] {
        let root: JSONValue
        do {
            // By way of JSON: the parser's own tables are views of memory that it may free.
            root = try JSONValue(parsing: Array(TOMLTable(string: text).convert(to: .json).utf8))
        } catch let error as TOMLParseError {
            throw invalid("line \(error.source.begin.line): \(error.description.printable)")
        } catch { throw invalid("is not understood (\(error))") }
        for member in root.object?.members ?? [] where member.key != "databases" {
            throw invalid("“\(member.key.printable)” is not known; [databases.NAME] is")
        }
        guard let tables = root["databases"] else { return [] }
        guard let tables = tables.object else { throw invalid("databases is no table") }
        return try tables.members.map { (member) throws(DatabaseError) in
            guard let table = member.value.object else {
                throw invalid("databases.\(member.key.printable) is no table")
            }
            return try database(member.key, table)
        }.sorted { $0.name < $1.name }
    }

    private func database(_ name: String, _ table: JSONObject) throws(DatabaseError) -> NamedDatabase {
        let place = "databases.\(name.printable)"
        guard let location = table["location"]?.string else {
            throw invalid("\(place) has no location = \"…\"")
        }
        var database = try NamedDatabase(name: name, location: Self.atHome(location))
        for (key, value) in table.members.map({ ($0.key, $0.value) }) where key != "location" {
            func text() throws(DatabaseError) -> String {
                guard let text = value.string else { throw invalid("\(place).\(key) is no text") }
                return text
            }
            func flag() throws(DatabaseError) -> Bool {
                guard let flag = value.bool else {
                    throw invalid("\(place).\(key) is neither true nor false")
                }
                return flag
            }
            switch Key(rawValue: key) {
            case .identity: database.identity = Self.atHome(try text())
            case .user: database.user = try text()
            case .passwordFile: database.passwordFile = Self.atHome(try text())
            case .tokenFile: database.tokenFile = Self.atHome(try text())
            case .cacert: database.certificateAuthority = Self.atHome(try text())
            case .acceptNewHostKey: database.acceptsNewHostKey = try flag()
            case .sendTokenUnencrypted: database.sendsTokenUnencrypted = try flag()
            case .sshOptions:
                database.sshOptions = try (value.array ?? [value]).map { (item) throws(DatabaseError) in
                    guard let option = item.string else {
                        throw invalid("\(place).\(key) is no list of texts")
                    }
                    return option
                }
            case nil:
                let known = Key.allCases.map(\.rawValue).joined(separator: ", ")
                throw invalid("\(place).\(key.printable) is not known; location, \(known) are")
            }
        }
        return database
    }

    /// As the options of the command are called.
    private enum Key: String, CaseIterable {
        case identity
        case sshOptions = "ssh-options"
        case acceptNewHostKey = "accept-new-host-key"
        case user
        case passwordFile = "password-file"
        case tokenFile = "token-file"
        case cacert
        case sendTokenUnencrypted = "send-token-unencrypted"
    }

    private static func atHome(_ path: String) -> String {
        guard path.hasPrefix("~/"), let home = ProcessInfo.processInfo.environment["HOME"] else {
            return path
        }
        return home + path.dropFirst()
    }

    private static func table(_ database: NamedDatabase) -> String {
        var lines = ["[databases.\(database.name)]", "location = \(quoted(database.location))"]
        func add(_ key: Key, _ value: String?) {
            if let value { lines.append("\(key.rawValue) = \(value)") }
        }
        add(.identity, database.identity.map(quoted))
        if !database.sshOptions.isEmpty {
            add(.sshOptions, "[\(database.sshOptions.map(quoted).joined(separator: ", "))]")
        }
        add(.acceptNewHostKey, database.acceptsNewHostKey ? "true" : nil)
        add(.user, database.user.map(quoted))
        add(.passwordFile, database.passwordFile.map(quoted))
        add(.tokenFile, database.tokenFile.map(quoted))
        add(.cacert, database.certificateAuthority.map(quoted))
        add(.sendTokenUnencrypted, database.sendsTokenUnencrypted ? "true" : nil)
        return lines.joined(separator: "\n") + "\n"
    }

    /// A basic string of TOML 1.0.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// Without the lines from `[databases.NAME]` to the next header.
    private static func cutting(_ name: String, from text: String) -> String {
        var kept: [Substring] = []
        var isInside = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let bare = line.filter { !$0.isWhitespace && $0 != "\"" }
            if bare.hasPrefix("[") { isInside = bare.prefix { $0 != "#" } == "[databases.\(name)]" }
            if !isInside { kept.append(line) }
        }
        while kept.last == "" { kept.removeLast() }
        return kept.isEmpty ? "" : kept.joined(separator: "\n") + "\n"
    }
}

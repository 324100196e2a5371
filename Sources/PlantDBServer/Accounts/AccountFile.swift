import Foundation
import PlantDBCore
import Synchronization

/// Who may log in, as PlantDB keeps it in `users.json` of a database.
struct Account: Sendable, Hashable {
    var name: String
    var fullName: String
    /// nil: nobody logs in as this.
    var password: PasswordHash?
    /// Everybody with an account reads.
    var mayWrite: Bool
    var isActive: Bool
}

/// `users.json` of a database: read, never written, and made for nobody.
///
/// Upstream's own default accounts, `guest` and `admin` with their names as passwords, are let in by no
/// server of ours while they have those passwords.
final class AccountFile: Sendable {
    private let path: String
    private let known = Mutex<(stamp: [Int], accounts: [String: Account])>(([], [:]))

    init(path: String) { self.path = path }

    /// The account of a name; nil where there is none. Reads the file if it changed. Blocks.
    ///
    /// - Throws: `invalidData` for a file that is not understood.
    func account(_ name: String) throws(DatabaseError) -> Account? {
        try known.withLock { (known) throws(DatabaseError) in
            let stamp = stamp()
            if stamp != known.stamp || stamp.isEmpty {
                known = (stamp, stamp.isEmpty ? [:] : try read())
            }
            return known.accounts[name]
        }
    }

    /// Empty where there is no file.
    private func stamp() -> [Int] {
        var status = stat()
        guard stat(path, &status) == 0 else { return [] }
        return [
            Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
        ]
    }

    private func read() throws(DatabaseError) -> [String: Account] {
        let value: JSONValue
        do {
            value = try JSONValue(parsing: Array(try Data(contentsOf: URL(fileURLWithPath: path))))
        } catch {
            throw DatabaseError(
                .invalidData, "the accounts in \(path.printable) cannot be read", cause: "\(error)".printable)
        }
        var accounts: [String: Account] = [:]
        for account in try Self.accounts(in: value, path) { accounts[account.name] = account }
        return accounts
    }

    private static func accounts(in value: JSONValue, _ path: String) throws(DatabaseError) -> [Account] {
        switch value {
        case .array(let users):
            // Releases from 0.15 on.
            return users.compactMap { user in
                guard let name = user["username"]?.string else { return nil }
                let roles = user["roles"]?.array?.compactMap(\.string) ?? []
                return Account(
                    name: name, fullName: user["fullname"]?.string ?? name,
                    password: user["password_hash"]?.string.flatMap(PasswordHash.init),
                    mayWrite: roles.contains("contributor") || roles.contains("admin"),
                    isActive: user["is_active"]?.bool ?? true)
            }
        case .object(let users):
            // Release 0.14, which knows no roles.
            return users.members.map { member in
                Account(
                    name: member.key, fullName: member.value["fullname"]?.string ?? member.key,
                    password: member.value["password"]?.string.flatMap(PasswordHash.init),
                    mayWrite: true, isActive: true)
            }
        default:
            throw DatabaseError(
                .invalidData, "the accounts in \(path.printable) are neither a list nor an object")
        }
    }
}

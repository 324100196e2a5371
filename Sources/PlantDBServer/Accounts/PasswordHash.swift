import CArgon2
import CCrypt
import Glibc
import PlantDBCore

/// A stored password, as PlantDB keeps it: bcrypt in release 0.14, Argon2id from 0.15 on.
enum PasswordHash: Sendable, Hashable {
    /// `$2b$…` (crypt(5)).
    case bcrypt(String)
    /// `$argon2id$…`, the encoded form of the reference implementation (RFC 9106).
    case argon2id(String)

    /// nil for any other kind: nobody logs in with it.
    init?(_ text: String) {
        if text.hasPrefix("$argon2id$") {
            // More memory than this is no password's hash, but an attack on whoever checks it.
            guard Self.memory(of: text) <= Self.maximumMemory else { return nil }
            self = .argon2id(text)
        } else if ["$2a$", "$2b$", "$2y$"].contains(where: text.hasPrefix) {
            self = .bcrypt(text)
        } else {
            return nil
        }
    }

    /// In KiB.
    private static let maximumMemory = 1 << 20

    private static func memory(of text: String) -> Int {
        let parameters = text.split(separator: "$").first { $0.hasPrefix("m=") } ?? ""
        return Int(parameters.dropFirst(2).prefix { $0.isNumber }) ?? .max
    }

    /// Takes a tenth of a second and up to 64 MiB by design; blocks.
    func matches(_ password: String) -> Bool {
        guard !password.utf8.contains(0) else { return false }
        switch self {
        case .argon2id(let encoded):
            let bytes = Array(password.utf8)
            return argon2id_verify(encoded, bytes, bytes.count) == 0  // ARGON2_OK
        case .bcrypt(let stored):
            return withUnsafeTemporaryAllocation(of: crypt_data.self, capacity: 1) { data in
                guard let room = data.baseAddress else { return false }
                // crypt_r(3): all zero before its first use.
                memset(room, 0, MemoryLayout<crypt_data>.size)
                guard let result = crypt_r(password, stored, room) else { return false }
                return Self.isEqual(Array(String(cString: result).utf8), Array(stored.utf8))
            }
        }
    }

    /// In the same time, wherever they differ.
    private static func isEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        guard one.count == other.count else { return false }
        var difference: UInt8 = 0
        for index in one.indices { difference |= one[index] ^ other[index] }
        return difference == 0
    }

    /// No password's. Checked for names that are no account's, so that these take as long as others.
    static let nobody = PasswordHash.argon2id(
        "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5IGxvZ3MgaW4$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
}

/// Names in archives come from anybody. What is taken is a relative path that stays below the folder
/// it is put into, on every system.
enum ZipName {
    /// - Parameter isUTF8: general purpose bit 11 (APPNOTE 6.3.10, 4.4.4). Without it the names of
    ///   archives are in the writer's code page; ASCII is the same in all of them.
    /// - Returns: the path without a trailing slash, and whether it had one.
    static func path(_ bytes: [UInt8], isUTF8: Bool) throws(ZipError) -> (String, isDirectory: Bool) {
        guard let text = String(validating: bytes, as: UTF8.self), isUTF8 || bytes.allSatisfy({ $0 < 0x80 })
        else {
            throw ZipError(.invalidName, "a name is not in UTF-8: \(shown(bytes))")
        }
        let isDirectory = bytes.last == UInt8(ascii: "/")
        let path = isDirectory ? String(text.dropLast()) : text
        let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let isSafe = parts.allSatisfy { part in
            !part.isEmpty && !part.elementsEqual(".".utf8) && !part.elementsEqual("..".utf8)
        }
        guard isSafe, !bytes.contains(0), !bytes.contains(UInt8(ascii: "\\")),
            !(bytes.count > 1 && bytes[1] == UInt8(ascii: ":"))
        else {
            throw ZipError(.invalidName, "a name that leads out of the archive: \(shown(bytes))")
        }
        return (path, isDirectory)
    }

    /// For messages: nothing that moves a cursor.
    static func shown(_ bytes: some Collection<UInt8>) -> String {
        bytes.prefix(200).map { byte in
            (0x20..<0x7f).contains(byte)
                ? String(UnicodeScalar(byte)) : "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }
}

/// The names of one archive: none twice, and no file where another has a folder.
struct ZipNames {
    private var files: Set<String> = []
    private var directories: Set<String> = []

    mutating func add(_ path: String, isDirectory: Bool) throws(ZipError) {
        var parent = Substring(path)
        while let slash = parent.lastIndex(of: "/") {
            parent = parent[..<slash]
            guard !files.contains(String(parent)) else { throw Self.twice(path) }
            // Its own parents are there already.
            guard directories.insert(String(parent)).inserted else { break }
        }
        if isDirectory {
            guard !files.contains(path) else { throw Self.twice(path) }
            directories.insert(path)
        } else {
            guard !directories.contains(path), files.insert(path).inserted else { throw Self.twice(path) }
        }
    }

    private static func twice(_ path: String) -> ZipError {
        ZipError(.corrupt, "two entries cannot both be \(ZipName.shown(path.utf8))")
    }
}

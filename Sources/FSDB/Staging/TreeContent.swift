import PlantDBCore

/// What a tree holds, whatever the order in which it is told: counts, and a sum of hashes of kinds, paths and
/// sizes. Two that are equal hold the same, but for an accident of one in 2⁶⁴.
///
/// Equivalent Unicode spellings count as one path: some file systems list another than they were given.
struct TreeContent: Equatable {
    private(set) var files = 0
    private(set) var directories = 0
    private var bytes: Int64 = 0
    private var sum = 0

    mutating func insert(_ kind: FileEntry.Kind, _ path: ScanPath, size: Int64) {
        count(kind, path, size, 1)
    }

    /// Of what was inserted.
    mutating func remove(_ kind: FileEntry.Kind, _ path: ScanPath, size: Int64) {
        count(kind, path, size, -1)
    }

    private mutating func count(_ kind: FileEntry.Kind, _ path: ScanPath, _ size: Int64, _ sign: Int) {
        if kind == .file { files += sign } else { directories += sign }
        bytes &+= Int64(sign) &* size
        var hasher = Hasher()
        hasher.combine(kind)
        hasher.combine(size)
        // As text, whose equality is that of Unicode.
        hasher.combine(path.rawValue)
        sum &+= sign &* hasher.finalize()
    }
}

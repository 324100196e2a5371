/// Two spellings of one path, which differ in upper and lower case or in how Unicode is composed.
public struct PathSpelling: Sendable, Hashable {
    /// How it is listed.
    public var listed: ScanPath
    /// How somebody else calls it.
    public var other: ScanPath

    public init(listed: ScanPath, other: ScanPath) {
        self.listed = listed
        self.other = other
    }
}

extension ScanManifest {
    /// The entries of `other` that this manifest does not have, and its own that could be the same in
    /// another spelling: whether they are is the file system's to say. O(n), and less where one of the two
    /// has all of the other.
    public func possibleSpellings(of other: ScanManifest) -> [PathSpelling] {
        var (own, theirs): ([Int], [Int]) = ([], [])
        var (index, otherIndex) = (0, 0)
        while index < count || otherIndex < other.count {
            let order =
                index == count
                ? 1
                : otherIndex == other.count
                    ? -1 : comparePath(at: index, with: other, at: otherIndex)
            if order < 0 { own.append(index) }
            if order > 0 { theirs.append(otherIndex) }
            if order <= 0 { index += 1 }
            if order >= 0 { otherIndex += 1 }
        }
        guard !own.isEmpty, !theirs.isEmpty else { return [] }
        var listed = Dictionary(
            own.map { index in
                let path = self[index].path
                return (path.rawValue.folded, path)
            }, uniquingKeysWith: { first, _ in first })
        return theirs.compactMap { index in
            let path = other[index].path
            return listed.removeValue(forKey: path.rawValue.folded).map {
                PathSpelling(listed: $0, other: path)
            }
        }
    }

    /// The same manifest in the other spellings. Its revision stays that of the side that holds the scan.
    public func respelled(_ spellings: [PathSpelling]) throws(DatabaseError) -> ScanManifest {
        guard !spellings.isEmpty else { return self }
        let names = Dictionary(
            spellings.map { ($0.listed, $0.other) }, uniquingKeysWith: { first, _ in first })
        var builder = Builder(scan: scan)
        for var entry in self {
            entry.path = names[entry.path] ?? entry.path
            builder.append(entry)
        }
        for entry in skipped { builder.skip(entry) }
        var manifest = try builder.build()
        manifest.revisionOfHolder = revision
        return manifest
    }
}

extension String {
    /// Equal for names that some file system takes for one: full case folding, nearly, and the equality of
    /// `String`, which is that of Unicode.
    package var folded: String { uppercased().lowercased() }
}

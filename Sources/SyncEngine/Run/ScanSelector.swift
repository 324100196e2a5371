import PlantDBCore

/// Which units of a listing are wanted, and whether what was asked for is there at all.
struct ScanSelector {
    private let globs: [Glob]

    init(_ patterns: [String]) { globs = patterns.map(Glob.init) }

    /// A member is wanted with its container, and a container with any of its members.
    func selects(_ scan: ScanID) -> Bool {
        globs.isEmpty || globs.contains { matches($0, scan) }
    }

    private func matches(_ glob: Glob, _ scan: ScanID) -> Bool {
        glob.matches(scan.rawValue) || (scan.container.map { glob.matches($0.rawValue) } ?? false)
    }

    /// The wanted units, in the order of the listing.
    ///
    /// - Parameter others: what else may have been asked for by name.
    /// - Throws: ``DatabaseError/Code/notFound``, naming every name and glob that finds nothing.
    func select(
        from listing: DatabaseListing, of location: DatabaseLocation, butFor others: [ScanSummary] = []
    ) throws(DatabaseError) -> [ScanSummary] {
        let units = listing.scans.filter {
            if case .stray = $0.kind { return false }
            return true
        }
        let missing = globs.filter { glob in
            !units.contains { matches(glob, $0.scan) } && !others.contains { matches(glob, $0.scan) }
        }
        guard missing.isEmpty else {
            let names = missing.map { "“\($0.pattern.printable)”" }.joined(separator: ", ")
            throw DatabaseError(
                .notFound,
                "the source \(location) has no scan \(names); plantdb scans lists what it has")
        }
        let direct = units.filter { selects($0.scan) }
        let containers = Set(direct.compactMap { $0.scan.container })
        return units.filter { selects($0.scan) || containers.contains($0.scan) }
    }
}

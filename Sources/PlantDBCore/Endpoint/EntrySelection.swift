/// Entries of one manifest, chosen by a plan, without a copy of them.
public struct EntrySelection: Sendable, RandomAccessCollection {
    public let manifest: ScanManifest
    private let positions: [Int32]

    /// - Parameter positions: ascending positions in `manifest`.
    public init(manifest: ScanManifest, positions: [Int32]) {
        self.manifest = manifest
        self.positions = positions
    }

    /// All entries of the manifest.
    public init(all manifest: ScanManifest) {
        self.init(manifest: manifest, positions: Array(0..<Int32(manifest.count)))
    }

    public var scan: ScanID { manifest.scan }
    public var startIndex: Int { 0 }
    public var endIndex: Int { positions.count }
    public subscript(index: Int) -> FileEntry { manifest[Int(positions[index])] }

    /// As those of the manifest, for whoever does not need the whole entry.
    public func facts(at index: Int) -> EntryFacts { manifest.facts(at: Int(positions[index])) }
    public func pathBytes(at index: Int) -> ArraySlice<UInt8> {
        manifest.pathBytes(at: Int(positions[index]))
    }
}

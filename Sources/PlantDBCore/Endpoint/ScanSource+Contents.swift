import NIOCore

extension ScanSource {
    /// The content of one small file of a scan (JSON, TOML), whole.
    ///
    /// - Parameter limit: in bytes.
    /// - Throws: ``DatabaseError/Code/invalidData`` if the file is larger than `limit`;
    ///   whatever reading throws.
    public func contents(of path: ScanPath, in manifest: ScanManifest, limit: Int = 64 << 20)
        async throws(DatabaseError) -> [UInt8]?
    {
        guard let position = manifest.position(of: path) else { return nil }
        let selection = EntrySelection(manifest: manifest, positions: [Int32(position)])
        var result: [UInt8] = []
        var stream = try await parts(of: selection).makeAsyncIterator()
        while let part = try await stream.next() {
            guard case .bytes(let buffer) = part else { continue }
            result.append(contentsOf: buffer.readableBytesView)
            if result.count > limit {
                throw DatabaseError(
                    .invalidData, "\(path) of scan \(manifest.scan) is larger than \(limit) bytes",
                    scan: manifest.scan, path: path.rawValue)
            }
        }
        return result
    }
}

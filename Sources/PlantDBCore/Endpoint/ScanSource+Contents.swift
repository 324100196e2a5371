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

    public func checksums(of selection: EntrySelection) async throws(DatabaseError) -> [UInt32] {
        var found: [ScanPath: UInt32] = [:]
        var current: (path: ScanPath, checksum: CRC32)?
        var stream = try await parts(of: selection).makeAsyncIterator()
        while let part = try await stream.next() {
            switch part {
            case .begin(let entry): current = (entry.path, CRC32())
            case .bytes(let buffer): current?.checksum.update(buffer.readableBytesView)
            case .end:
                if let current { found[current.path] = current.checksum.value }
                current = nil
            }
        }
        return try selection.map { (entry) throws(DatabaseError) in
            guard entry.kind == .file else { return 0 }
            guard let checksum = found[entry.path] else {
                throw DatabaseError(
                    .invalidData, "\(entry.path) of scan \(selection.scan) was asked for, and was not sent",
                    scan: selection.scan, path: entry.path.rawValue)
            }
            return checksum
        }
    }
}

/// One file or folder of an archive.
public struct ZipEntry: Sendable, Hashable {
    public enum Method: UInt16, Sendable, Hashable {
        case stored = 0
        case deflated = 8
    }

    /// Relative, with `/` between its parts and none at its end.
    public var path: String
    public var isDirectory: Bool
    public var method: Method
    /// In bytes, as it is outside the archive; nil: told after the content.
    public var size: Int64?
    /// In bytes, as it is in the archive; nil: told after the content.
    public var compressedSize: Int64?
    /// nil: told after the content.
    public var crc32: UInt32?
    /// In seconds since 1970-01-01 UTC, from the extended timestamp (0x5455); nil: the archive has
    /// only the local time of some unknown zone, in steps of two seconds, which proves nothing.
    public var modified: Int64?
    /// Of its local header in the archive.
    public var offset: Int64
}

/// What an archive may hold at most, so that a small one cannot fill a disk.
public struct ZipLimits: Sendable {
    public var entries = 1_000_000
    /// In bytes, of all files together as they are outside the archive.
    public var totalSize: Int64 = 1 << 42
    /// How many bytes may come of a compressed one, beyond ``freeSize``: of each file, and of all together. DEFLATE
    /// makes up to 1,032 of one, out of nothing but repetition.
    public var ratio: Int64 = 200
    /// What may come of any archive, however small it is, in bytes.
    public var freeSize: Int64 = 64 << 20

    public init() {}

    /// - Parameter compressed: in bytes, real ones.
    func allows(_ size: Int64, from compressed: Int64) -> Bool {
        let (product, overflows) = compressed.multipliedReportingOverflow(by: ratio)
        return overflows || size - freeSize <= product
    }
}

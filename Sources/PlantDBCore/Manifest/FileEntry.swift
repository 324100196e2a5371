/// One file or directory of a scan, as far as the side that holds it can say.
public struct FileEntry: Sendable, Hashable {
    public enum Kind: UInt8, Sendable, Hashable {
        case file
        case directory
    }

    public var path: ScanPath
    public var kind: Kind
    /// In bytes; 0 for a directory.
    public var size: Int64
    /// nil where the peer cannot tell. Directories carry one too, but it is never compared.
    public var modified: ModificationTime?
    /// Permission bits (`0777`); nil where the peer has none. Set-user-ID and the like are nobody's to
    /// give: they are dropped.
    public var mode: UInt16?
    /// nil where it was not asked for or cannot be proven.
    public var digest: Digest?

    public init(
        path: ScanPath, kind: Kind = .file, size: Int64, modified: ModificationTime? = nil,
        mode: UInt16? = nil, digest: Digest? = nil
    ) {
        self.path = path
        self.kind = kind
        self.size = size
        self.modified = modified
        self.mode = mode.map { $0 & 0o777 }
        self.digest = digest
    }
}

/// What an entry is, but for its path.
public struct EntryFacts: Sendable, Hashable {
    public var kind: FileEntry.Kind
    public var size: Int64
    public var modified: ModificationTime?
    public var mode: UInt16?
    public var digest: Digest?
}

/// Something in a scan that is not carried, and why.
public struct SkippedEntry: Sendable, Hashable {
    public enum Reason: String, Sendable, Codable, CaseIterable {
        case symbolicLink
        /// A FIFO, socket or device.
        case specialFile
        /// A name outside ``ScanPath``'s rules.
        case invalidName
        /// It could not be read or listed, so what lies in it is unknown.
        case unreadable
        /// A directory that is no scan and whose name could not be one.
        case notAScan
    }

    /// Relative to the scan, printable.
    public var path: String
    public var reason: Reason
    /// The operating system's or the peer's words.
    public var detail: String?

    public init(path: String, reason: Reason, detail: String? = nil) {
        self.path = path
        self.reason = reason
        self.detail = detail
    }

    /// Whether the scan is known in part only, so that absence proves nothing: deletion in
    /// it is off, and the run does not end with exit code 0.
    public var hidesContent: Bool { reason == .unreadable || reason == .invalidName }
}

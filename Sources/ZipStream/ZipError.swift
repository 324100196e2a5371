/// Why an archive cannot be read or written.
public struct ZipError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Code: Sendable, Hashable {
        /// It does not begin as a ZIP archive does.
        case notAZip
        /// It ends before it is whole.
        case truncated
        /// Its parts contradict one another, or its content its checksum.
        case corrupt
        /// A name that leads out of the archive's folder, or that no file can have.
        case invalidName
        /// Encrypted, split into volumes, compressed in another way, or a link.
        case unsupported
        /// An entry that was stored without its size cannot be told from what follows in a stream:
        /// keep the archive and read it by its directory.
        case needsRandomAccess
        /// More entries or bytes than allowed.
        case tooLarge
        /// The caller did not keep to the order of calls.
        case misuse
    }

    public var code: Code
    /// What was found, in which entry.
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}

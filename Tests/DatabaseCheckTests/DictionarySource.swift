import NIOCore
import PlantDBCore

/// A database of texts: what a check sees of it, and nothing more.
struct DictionarySource: ScanSource, AccountListing {
    struct Content: Sendable {
        var kind = ScanSummary.Kind.scan
        /// By path; a path with a final “/” is a directory. A “\u{fffd}” is bytes that are no UTF-8.
        var files: [String: String] = [:]
        var modified: [String: ModificationTime] = [:]
        var skipped: [SkippedEntry] = []
        /// Thrown instead of a manifest.
        var failure: DatabaseError?
        /// Thrown instead of the content of any file.
        var readFailure: DatabaseError?
        /// Not there any more when its manifest is asked for.
        var isGone = false
    }

    var scans: [String: Content] = [:]
    var skipped: [SkippedEntry] = []
    var listingFailure: DatabaseError?
    var accounts: Result<AccountNames?, DatabaseError> = .success(nil)

    func accountNames() async throws(DatabaseError) -> AccountNames? { try accounts.get() }

    func listing() async throws(DatabaseError) -> DatabaseListing {
        if let listingFailure { throw listingFailure }
        var summaries: [ScanSummary] = []
        for (name, content) in scans {
            summaries.append(ScanSummary(scan: try ScanID(name), kind: content.kind))
        }
        return DatabaseListing(scans: summaries.sorted { $0.scan < $1.scan }, skipped: skipped)
    }

    func manifest(of scan: ScanID, detail: ManifestDetail) async throws(DatabaseError) -> ScanManifest? {
        guard let content = scans[scan.rawValue], !content.isGone else { return nil }
        if let failure = content.failure { throw failure }
        var entries: [FileEntry] = []
        for (name, text) in content.files {
            let isDirectory = name.hasSuffix("/")
            entries.append(
                FileEntry(
                    path: try ScanPath(isDirectory ? String(name.dropLast()) : name),
                    kind: isDirectory ? .directory : .file, size: isDirectory ? 0 : Int64(text.utf8.count),
                    modified: content.modified[name] ?? ModificationTime(seconds: 1_700_000_000)))
        }
        return try ScanManifest(scan: scan, entries: entries, skipped: content.skipped)
    }

    func parts(of selection: EntrySelection) async throws(DatabaseError) -> ScanPartStream {
        let reader = Reader(selection: selection, content: scans[selection.scan.rawValue] ?? Content())
        return ScanPartStream { () async throws(DatabaseError) in try await reader.next() }
    }

    private actor Reader {
        private var parts: [ScanPart] = []
        private let failure: DatabaseError?

        init(selection: EntrySelection, content: Content) {
            failure = content.readFailure
            // The last first: the order is the peer's.
            for entry in selection.reversed() {
                parts.append(.begin(entry))
                // In two parts, as they come from a wire.
                let text = content.files[entry.path.rawValue] ?? ""
                let bytes = text.unicodeScalars.flatMap { scalar in
                    scalar == "\u{fffd}" ? [0xff, 0xff, 0xff] : Array(String(scalar).utf8)
                }
                parts.append(.bytes(ByteBuffer(bytes: bytes.prefix(bytes.count / 2))))
                parts.append(.bytes(ByteBuffer(bytes: bytes.dropFirst(bytes.count / 2))))
                parts.append(.end(nil))
            }
            parts.reverse()
        }

        func next() throws(DatabaseError) -> ScanPart? {
            if let failure { throw failure }
            return parts.popLast()
        }
    }
}

extension DictionarySource.Content {
    /// A scan with nothing wrong.
    static var good: Self {
        Self(files: [
            "files.json":
                #"{"filesets": [{"id": "images", "files": [{"id": "00000_rgb", "file": "00000_rgb.jpg"}]}]}"#,
            "images/": "", "images/00000_rgb.jpg": "jpeg", "metadata/": "", "metadata/metadata.json": "{}",
            "metadata/images.json": "{}", "metadata/images/": "",
            "metadata/images/00000_rgb.json": #"{"channel": "rgb"}"#, "measures.json": "{}", "scan.toml": "",
        ])
    }

    func with(_ path: String, _ text: String?) -> Self {
        var copy = self
        copy.files[path] = text
        return copy
    }
}

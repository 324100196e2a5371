import CLibArchive
import NIOPosix
import PlantDBCore

/// What an archive may hold at most: against one that is made to fill the disk.
package struct ArchiveLimits: Sendable {
    package var entries = 50_000
    /// Of all files together, unpacked.
    package var bytes: Int64 = 8 << 30

    package init() {}
}

/// Unpacks a dataset's archive into a database.
///
/// The archive holds the scan in a folder named like the dataset, or the scan's files as
/// such. Every name is checked, by the rules of ``ScanPath``, before anything is written:
/// absolute names, `..`, links, special files and names that occur twice are refused.
struct ArchiveExtraction: Sendable {
    let archive: DatasetArchive
    let file: String
    let limits: ArchiveLimits

    func run(inDatabase root: String, from url: String) async throws(DatabaseError) -> TestDatasetOrigin {
        let dataset = archive.dataset
        do {
            return try await NIOThreadPool.singleton.runIfActive {
                let contents = try checkedContents()
                let staged = try StagedScan(dataset.scan, inDatabase: root)
                do {
                    var origin = TestDatasetOrigin(
                        dataset: dataset, kind: .downloaded(from: url), files: 0, bytes: 0)
                    try extract(contents, to: staged, &origin)
                    try staged.publish()
                    return origin
                } catch {
                    // What cannot be removed now is removed by the next run.
                    do { try staged.discard() } catch {}
                    throw error
                }
            }
        } catch { throw .wrapping(error, while: "unpacking \(file.printable)") }
    }

    /// The names to unpack, by their name in the archive.
    private func checkedContents() throws(DatabaseError) -> [String: ScanPath] {
        let reader = try ZipReader(file)
        let folder = archive.dataset.rawValue
        var paths: [ScanPath] = []
        var seen: Set<ScanPath> = []
        var bytes: Int64 = 0
        while let entry = try reader.next() {
            try DatabaseError.checkCancellation(while: "reading \(file)")
            guard paths.count < limits.entries else {
                throw refusal("it has more than \(limits.entries) entries")
            }
            var name = entry.name
            if entry.kind == .folder, name.hasSuffix("/") { name.removeLast() }
            let path: ScanPath
            do throws(DatabaseError) { path = try ScanPath(name) } catch {
                throw refusal("it holds the name “\(name.printable)”: \(error.message)")
            }
            switch entry.kind {
            case .folder: continue
            case .other: throw refusal("“\(name.printable)” in it is a link or a special file")
            case .file: break
            }
            guard seen.insert(path).inserted else { throw refusal("it holds “\(name.printable)” twice") }
            bytes = bytes.addingReportingOverflow(max(0, entry.size)).partialValue
            guard bytes <= limits.bytes else {
                throw refusal("unpacked it is larger than \(limits.bytes) bytes")
            }
            paths.append(path)
        }
        for path in paths {
            var parent = path.parent
            while let folder = parent {
                guard !seen.contains(folder) else {
                    throw refusal("“\(folder)” in it is a file and a folder")
                }
                parent = folder.parent
            }
        }
        // In a folder of its name, or bare; what lies beside the folder is of no dataset.
        let inFolder = paths.contains { $0.rawValue == folder + "/files.json" }
        guard inFolder || seen.contains(.index) else {
            throw refusal("it holds neither \(folder)/files.json nor files.json")
        }
        var result: [String: ScanPath] = [:]
        for path in paths {
            if !inFolder {
                result[path.rawValue] = path
            } else if path.first == folder[...], path.components.count > 1 {
                result[path.rawValue] = try ScanPath(String(path.rawValue.dropFirst(folder.count + 1)))
            }
        }
        return result.filter { $0.value.components.allSatisfy { $0 != ScanPath.webcacheName } }
    }

    private func extract(
        _ contents: [String: ScanPath], to staged: StagedScan, _ origin: inout TestDatasetOrigin
    ) throws(DatabaseError) {
        let reader = try ZipReader(file)
        try staged.makeFolders(for: contents.values.map(\.rawValue))
        while let entry = try reader.next() {
            guard entry.kind == .file, let path = contents[entry.name] else { continue }
            var rest = limits.bytes - origin.bytes
            origin.bytes += try staged.write(path.rawValue, modified: entry.modified) {
                (sink) throws(DatabaseError) in
                try DatabaseError.checkCancellation(while: "unpacking \(file)")
                guard let piece = try reader.nextPiece() else { return false }
                // The sizes that entries declare may be lies.
                rest -= Int64(piece.count)
                guard rest >= 0 else { throw refusal("unpacked it is larger than \(limits.bytes) bytes") }
                try sink(piece)
                return true
            }
            origin.files += 1
        }
        guard try staged.holds("files.json"), try staged.holds("metadata") else {
            throw refusal("there is no scan in it: index or metadata are missing")
        }
    }

    private func refusal(_ reason: String) -> DatabaseError {
        DatabaseError(
            .invalidData,
            "the archive \(file.printable) is not unpacked: \(reason); delete it, and download it again",
            scan: archive.dataset.scan)
    }
}

/// The entries of a ZIP file, by libarchive.
///
/// Used by one thread at a time: a value of it never leaves the function that made it.
private final class ZipReader {
    struct Entry {
        enum Kind {
            case file
            case folder
            case other
        }

        var name: String
        var kind: Kind
        /// As declared, in bytes.
        var size: Int64
        var modified: ModificationTime
    }

    private let handle: OpaquePointer
    private let file: String

    init(_ file: String) throws(DatabaseError) {
        self.file = file
        guard let handle = archive_read_new() else {
            throw DatabaseError(.io, "cannot read \(file.printable): no memory for libarchive")
        }
        self.handle = handle
        // libarchive's own filters would unpack an archive in an archive; ZIP needs none.
        guard archive_read_support_format_zip_seekable(handle) == ARCHIVE_OK,
            archive_read_open_filename(handle, file, 256 << 10) == ARCHIVE_OK
        else { throw failure() }
    }

    deinit { archive_read_free(handle) }

    private func failure() -> DatabaseError {
        DatabaseError(
            .invalidData,
            "\(file.printable) is no ZIP archive that can be read; delete it, and download it again",
            cause: archive_error_string(handle).map { String(cString: $0).printable })
    }

    func next() throws(DatabaseError) -> Entry? {
        var entry: OpaquePointer?
        let result = archive_read_next_header(handle, &entry)
        if result == ARCHIVE_EOF { return nil }
        // A warning is about a name that this locale cannot show; the bytes are there.
        guard result == ARCHIVE_OK || result == ARCHIVE_WARN, let entry else { throw failure() }
        guard
            let text = archive_entry_pathname_utf8(entry) ?? archive_entry_pathname(entry),
            let name = String(validatingCString: text)
        else {
            throw DatabaseError(.invalidName, "\(file.printable) holds a name that is not UTF-8")
        }
        var kind = Entry.Kind.other
        if archive_entry_hardlink(entry) == nil, archive_entry_symlink(entry) == nil {
            switch UInt32(archive_entry_filetype(entry)) {
            case 0o100000: kind = .file
            case 0o040000: kind = .folder
            default: break
            }
        }
        return Entry(
            name: name, kind: kind,
            size: archive_entry_size_is_set(entry) != 0 ? archive_entry_size(entry) : 0,
            modified: ModificationTime(
                seconds: Int64(archive_entry_mtime(entry)),
                nanoseconds: Int64(archive_entry_mtime_nsec(entry))))
    }

    /// The next bytes of the entry, valid until the next call; nil at its end. libarchive
    /// checks the CRC of the entry with the last.
    func nextPiece() throws(DatabaseError) -> UnsafeRawBufferPointer? {
        var start: UnsafeRawPointer?
        var count = 0
        var offset: Int64 = 0
        let result = archive_read_data_block(handle, &start, &count, &offset)
        if result == ARCHIVE_EOF { return nil }
        guard result == ARCHIVE_OK else { throw failure() }
        return UnsafeRawBufferPointer(start: start, count: count)
    }
}

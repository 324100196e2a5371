import CPlatform
import Glibc
import PlantDBCore

/// Lists a scan: readdir and fstatat by directory descriptors, no link followed, no path
/// string resolved twice. Blocks; about 1 µs an entry from the cache.
struct ManifestWalk {
    private var builder: ScanManifest.Builder
    /// The path of the directory at work, with a final `/`; empty at the top.
    private var prefix: [UInt8] = []
    private let descends: Bool
    private let skipsCaches: Bool
    private let keepsModes: Bool

    /// - Parameters:
    ///   - descends: false for a timelapse container, whose directories are scans.
    ///   - skipsCaches: leaves upstream's thumbnails out.
    static func manifest(
        of scan: ScanID, in directory: Directory, descends: Bool, skipsCaches: Bool = true
    ) throws(DatabaseError) -> ScanManifest {
        var walk = ManifestWalk(
            builder: ScanManifest.Builder(scan: scan), descends: descends, skipsCaches: skipsCaches,
            keepsModes: FileSystemKind(of: directory.descriptor).keepsModes)
        do throws(SystemError) { try walk.walk(directory.descriptor) } catch {
            throw directory.failure(error, "list", ".").locating(scan: scan)
        }
        return try walk.builder.build()
    }

    private init(builder: ScanManifest.Builder, descends: Bool, skipsCaches: Bool, keepsModes: Bool) {
        self.builder = builder
        self.descends = descends
        self.skipsCaches = skipsCaches
        self.keepsModes = keepsModes
    }

    private static let webcache = Array(ScanPath.webcacheName.utf8)

    private mutating func walk(_ descriptor: CInt) throws(SystemError) {
        let length = prefix.count
        try Directory.forEachEntry(of: descriptor) { name, _ throws(SystemError) in
            prefix.append(contentsOf: name)
            defer { prefix.removeLast(prefix.count - length) }
            var status = stat()
            // Proof: `name` ends with a zero in the stream's buffer and is not empty.
            let characters = UnsafeRawPointer(name.baseAddress!).assumingMemoryBound(to: CChar.self)
            guard fstatat(descriptor, characters, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
                let error = SystemError()
                // Removed between the listing and now.
                if error.number == ENOENT { return }
                skip(.unreadable, error.text)
                return
            }
            let found = FileStatus(status)
            switch found.kind {
            case .file:
                append(.file, found)
            case .directory:
                if !descends || skipsCaches && name.elementsEqual(Self.webcache) { return }
                let count = builder.count
                append(.directory, found)
                // Not appended: its name is not valid, and what lies in it has none either.
                guard builder.count > count else { return }
                let child = plantdb_openat(descriptor, characters, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
                guard child >= 0 else {
                    let error = SystemError()
                    if error.number == EMFILE || error.number == ENFILE { throw error }
                    if error.number != ENOENT { skip(.unreadable, error.text) }
                    return
                }
                defer { close(child) }
                prefix.append(UInt8(ascii: "/"))
                try walk(child)
            case .symbolicLink:
                skip(.symbolicLink, nil)
            case .special:
                skip(.specialFile, nil)
            }
        }
    }

    private mutating func append(_ kind: FileEntry.Kind, _ status: FileStatus) {
        prefix.withUnsafeBufferPointer {
            builder.append(
                rawPath: $0, kind: kind, size: kind == .file ? status.size : 0, modified: status.modified,
                mode: keepsModes ? status.mode : nil)
        }
    }

    private mutating func skip(_ reason: SkippedEntry.Reason, _ detail: String?) {
        builder.skip(
            SkippedEntry(
                path: String(decoding: prefix, as: UTF8.self).printable, reason: reason, detail: detail))
    }
}

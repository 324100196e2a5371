import NIOCore
import PlantDBCore
import ZipStream

/// What a server's archive of one scan holds, by the directory at its end.
///
/// It is all that a server of upstream's shows of a scan: every file, listed in `files.json` or
/// not, with its size and its CRC-32.
struct RestArchive: Sendable {
    let manifest: ScanManifest
    /// Of the files, by their paths.
    let checksums: [ScanPath: UInt32]
    /// The folder around everything, with its slash, or empty.
    let top: String
    /// Whether every server takes the archive as it is: without a folder around everything, with
    /// files in `images` and in `metadata`, and nothing in it that a scan may not hold.
    let isPortable: Bool

    /// - Throws: `invalidData` for names that no scan may hold.
    init(scan: ScanID, directory entries: [ZipEntry]) throws(DatabaseError) {
        top = Self.top(of: entries.map(\.path), scan: scan)
        var builder = ScanManifest.Builder(scan: scan)
        var checksums: [ScanPath: UInt32] = [:]
        var directories: Set<ScanPath> = []
        var tops: Set<String> = []
        var hasOthers = !top.isEmpty
        for entry in entries {
            guard let path = Self.path(entry.path, below: top) else { continue }
            let parsed: ScanPath
            do throws(DatabaseError) { parsed = try ScanPath(path) } catch {
                builder.skip(
                    SkippedEntry(path: path.printable, reason: .invalidName, detail: error.message))
                hasOthers = true
                continue
            }
            hasOthers = hasOthers || Self.isPrivate(parsed) || entry.isDirectory
            guard !Self.isPrivate(parsed) else { continue }
            if parsed.components.count == 2 { tops.insert(String(parsed.first)) }
            // Archives name no folders; those of files are there all the same.
            var parent = entry.isDirectory ? parsed : parsed.parent
            while let directory = parent, directories.insert(directory).inserted { parent = directory.parent }
            guard !entry.isDirectory, let size = entry.size, let checksum = entry.crc32 else { continue }
            builder.append(FileEntry(path: parsed, size: size))
            checksums[parsed] = checksum
        }
        for directory in directories {
            builder.append(FileEntry(path: directory, kind: .directory, size: 0))
        }
        manifest = try builder.build()
        self.checksums = checksums
        isPortable = !hasOthers && tops.isSuperset(of: ["images", "metadata"])
    }

    /// A scan whose files were read one by one.
    init(manifest: ScanManifest, checksums: [ScanPath: UInt32]) {
        self.manifest = manifest
        self.checksums = checksums
        top = ""
        isPortable = false
    }

    /// The folder around everything: release 0.14 puts the scan's name there, later ones nothing.
    private static func top(of paths: [String], scan: ScanID) -> String {
        let folder = scan.name + "/"
        return !paths.contains(ScanPath.index.rawValue)
            && paths.allSatisfy { $0.hasPrefix(folder) || $0 == scan.name } ? folder : ""
    }

    /// nil: the folder itself.
    static func path(_ path: String, below top: String) -> String? {
        path.count < top.count ? nil : String(path.dropFirst(top.count))
    }

    /// Thumbnails that the server keeps for itself.
    private static func isPrivate(_ path: ScanPath) -> Bool {
        path.components.contains { $0 == ScanPath.webcacheName }
    }
}

extension DatabaseError {
    /// An archive that cannot be read.
    static func archive(_ error: ZipError, of scan: ScanID, at server: ServerAddress) -> DatabaseError {
        DatabaseError(
            error.code == .truncated ? .unreachable : .invalidData,
            "the archive of scan \(scan) that \(server) sent cannot be used; nothing of it was kept",
            cause: error.message, scan: scan)
    }
}

import PlantDBCore
import SFTPClient

/// Lists a scan: its directories level by level, several at a time, and no link followed.
struct RemoteWalk {
    let scan: ScanID
    let top: RemotePath
    let session: SFTPSession
    /// false for a timelapse container, whose directories are scans.
    let descends: Bool

    private struct Listed: Sendable {
        /// Relative to the scan, with a final `/`; empty at the top.
        var prefix: [UInt8]
        var entries: Result<[SFTPReply.Name], SFTPError>
    }

    func manifest() async throws(DatabaseError) -> ScanManifest {
        var builder = ScanManifest.Builder(scan: scan)
        var level: [[UInt8]] = [[]]
        while !level.isEmpty {
            let (session, top) = (session, top)
            let listings = await concurrently(level, atATime: 8) { prefix in
                let path = prefix.isEmpty ? top : top.appending(bytes: prefix.dropLast())
                do throws(SFTPError) {
                    return Listed(
                        prefix: prefix, entries: .success(try await session.entries(ofDirectory: path)))
                } catch { return Listed(prefix: prefix, entries: .failure(error)) }
            }
            level = []
            for listed in listings { try await add(listed, to: &builder, next: &level) }
        }
        return try builder.build()
    }

    private func add(_ listed: Listed, to builder: inout ScanManifest.Builder, next: inout [[UInt8]])
        async throws(DatabaseError)
    {
        let entries: [SFTPReply.Name]
        do throws(SFTPError) { entries = try listed.entries.get() } catch {
            // Removed between two listings.
            if error.code == .status(.noSuchFile), !listed.prefix.isEmpty { return }
            guard error.code == .status(.permissionDenied) else {
                throw .sftp(error, "list scan \(scan)", scan: scan)
            }
            builder.skip(
                SkippedEntry(
                    path: listed.prefix.isEmpty ? "." : text(listed.prefix.dropLast()), reason: .unreadable,
                    detail: error.message))
            return
        }
        var path = listed.prefix
        for entry in entries {
            path.removeLast(path.count - listed.prefix.count)
            path += entry.bytes
            var attributes = entry.attributes
            if attributes.kind == nil || attributes.kind == .file && attributes.size == nil {
                let (session, full) = (session, top.appending(bytes: path))
                let asked = try await translating("look at \(text(path)) of scan \(scan)", scan: scan) {
                    () async throws(SFTPError) in try await session.attributes(of: full)
                }
                guard let asked else { continue }
                attributes = asked
            }
            switch attributes.kind {
            case .file:
                guard let size = attributes.size else {
                    throw DatabaseError(
                        .unsupported, "the server does not tell the size of \(text(path))", scan: scan)
                }
                append(path, .file, size, attributes, to: &builder)
            case .directory:
                if !descends || entry.bytes.elementsEqual(ScanPath.webcacheName.utf8) { continue }
                let count = builder.count
                append(path, .directory, 0, attributes, to: &builder)
                // Not appended: its name is not valid, and what lies in it has none either.
                if builder.count > count { next.append(path + [UInt8(ascii: "/")]) }
            case .symbolicLink: builder.skip(SkippedEntry(path: text(path), reason: .symbolicLink))
            case .special: builder.skip(SkippedEntry(path: text(path), reason: .specialFile))
            case nil:
                builder.skip(SkippedEntry(path: text(path), reason: .unreadable, detail: "no kind is told"))
            }
        }
    }

    private func append(
        _ path: [UInt8], _ kind: FileEntry.Kind, _ size: UInt64, _ attributes: FileAttributes,
        to builder: inout ScanManifest.Builder
    ) {
        path.withUnsafeBufferPointer {
            builder.append(
                rawPath: $0, kind: kind, size: Int64(clamping: size),
                modified: attributes.times.map { ModificationTime(seconds: Int64($0.modified)) },
                mode: attributes.permissions.map { UInt16($0 & 0o777) })
        }
    }

    private func text(_ path: some Collection<UInt8>) -> String {
        String(decoding: path, as: UTF8.self).printable
    }
}

import NIOCore
import PlantDBCore
import SFTPClient
import Synchronization

import struct Crypto.SHA256

/// SHA-256 of files on a server: computed there where it lets us run `sha256sum`, else of bytes
/// that are read from it.
final class RemoteDigester: Sendable {
    private let command: RemoteCommand
    /// nil: not tried yet.
    private let isCommandUsable = Mutex<Bool?>(nil)

    init(command: RemoteCommand) { self.command = command }

    /// A constant: the names come by its input, each ended by a zero, so that no shell can
    /// misunderstand one.
    private static let commandLine = "xargs -0 -r sha256sum -bz --"
    /// The digest of nothing, by which the command proves that it is the one we mean.
    private static let probe = "/dev/null"
    private static let emptyDigest = Digest(bytes: Array(SHA256.hash(data: [UInt8]())))

    /// - Throws: `permissionDenied` for a file that cannot be read, and what reading throws.
    func addingDigests(to manifest: ScanManifest, at top: RemotePath, _ session: SFTPSession)
        async throws(DatabaseError) -> ScanManifest
    {
        let entries = Array(manifest)
        let files = entries.indices.filter { entries[$0].kind == .file }
        guard !files.isEmpty else { return manifest }
        let paths = files.map { top.appending(entries[$0].path.rawValue) }
        var digests = try await computedThere(paths, of: manifest.scan)
        for (index, file) in files.enumerated() where digests[index] == nil {
            digests[index] = try await read(paths[index], entries[file], of: manifest.scan, session)
        }
        var builder = ScanManifest.Builder(scan: manifest.scan)
        var next = 0
        for var entry in entries {
            if entry.kind == .file {
                entry.digest = digests[next]
                next += 1
            }
            builder.append(entry)
        }
        for skipped in manifest.skipped { builder.skip(skipped) }
        return try builder.build()
    }

    /// nil for those that the server did not compute.
    ///
    /// - Throws: `unreachable` where the connection was lost, which says nothing about the server.
    private func computedThere(_ paths: [RemotePath], of scan: ScanID) async throws(DatabaseError)
        -> [Digest?]
    {
        let none = [Digest?](repeating: nil, count: paths.count)
        if isCommandUsable.withLock({ $0 }) == false { return none }
        var input = Array(Self.probe.utf8) + [0]
        for path in paths { input += path.bytes + [0] }
        let outcome: RemoteCommand.Outcome
        do throws(SFTPError) {
            outcome = try await command.run(
                Self.commandLine, input: input, outputLimit: input.count + (paths.count + 1) * 80 + 4096)
        } catch {
            if isCommandUsable.withLock({ $0 }) == true,
                error.code == .connectionLost || error.code == .cancelled
            {
                throw .sftp(error, "compute the digests of scan \(scan)", scan: scan)
            }
            // Not allowed, or not there: reading the bytes answers as well.
            isCommandUsable.withLock { $0 = false }
            return none
        }
        let found = Self.parse(outcome.output)
        guard found[Array(Self.probe.utf8)] == Self.emptyDigest else {
            isCommandUsable.withLock { $0 = false }
            return none
        }
        isCommandUsable.withLock { $0 = true }
        return paths.map { found[$0.bytes] }
    }

    /// `‹64 hex digits› ‹space or *›‹name›`, each ended by a zero (sha256sum(1), `-z`).
    static func parse(_ output: [UInt8]) -> [[UInt8]: Digest] {
        var result: [[UInt8]: Digest] = [:]
        for line in output.split(separator: 0) where line.count > 66 {
            let start = line.startIndex
            guard let digest = Digest(hex: String(decoding: line[start..<start + 64], as: UTF8.self)) else {
                continue
            }
            result[Array(line[(start + 66)...])] = digest
        }
        return result
    }

    private func read(_ path: RemotePath, _ entry: FileEntry, of scan: ScanID, _ session: SFTPSession)
        async throws(DatabaseError) -> Digest
    {
        var hasher = SHA256()
        let reader = RemoteFileReader(session: session, path: path, entry: entry, scan: scan)
        while let buffer = try await reader.next() {
            buffer.withUnsafeReadableBytes { hasher.update(bufferPointer: $0) }
        }
        return Digest(bytes: Array(hasher.finalize()))
    }
}

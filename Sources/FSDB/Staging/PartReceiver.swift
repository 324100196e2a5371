import Glibc
import NIOCore
import PlantDBCore
import Synchronization

/// Writes a stream of parts into a staged tree, and checks each file against its announcement.
struct PartReceiver {
    let tree: StagedTree
    let scan: ScanID

    /// A staged file being written. It is closed once: by the tree when it is finished, or
    /// here when it is given up.
    private final class OpenFile: Sendable {
        let entry: FileEntry
        private let descriptor: Mutex<CInt?>

        init(entry: FileEntry, descriptor: CInt) {
            self.entry = entry
            self.descriptor = Mutex(descriptor)
        }

        func use<Result>(_ body: (CInt) throws(DatabaseError) -> Result) throws(DatabaseError) -> Result {
            guard let descriptor = descriptor.withLock({ $0 }) else {
                throw DatabaseError(.io, "\(entry.path) is closed already")
            }
            return try body(descriptor)
        }

        func take() -> CInt? {
            descriptor.withLock { stored in
                defer { stored = nil }
                return stored
            }
        }

        deinit { if let descriptor = take() { close(descriptor) } }
    }

    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest {
        var builder = ScanManifest.Builder(scan: scan)
        var current: (file: OpenFile, hasher: ContentHasher, received: Int64)?
        var directory: FileEntry?
        var iterator = parts.makeAsyncIterator()
        let tree = tree
        while let part = try await iterator.next() {
            switch part {
            case .begin(let entry):
                guard current == nil, directory == nil else { throw disorder("a file begins inside another") }
                if entry.kind == .directory {
                    try await BlockingThreads.run(while: "staging \(entry.path)") {
                        () throws(DatabaseError) in
                        try tree.makeDirectory(entry)
                    }
                    directory = entry
                    continue
                }
                let file = try await BlockingThreads.run(while: "staging \(entry.path)") {
                    () throws(DatabaseError) in OpenFile(entry: entry, descriptor: try tree.create(entry))
                }
                current = (file, ContentHasher(), 0)
            case .bytes(let buffer):
                guard let file = current?.file else { throw disorder("bytes outside a file") }
                current?.received += Int64(buffer.readableBytes)
                guard (current?.received ?? 0) <= file.entry.size else {
                    throw tree.mismatch(file.entry, "more than its \(file.entry.size) bytes arrived")
                }
                current?.hasher.update(buffer)
                let scan = scan
                try await BlockingThreads.run(while: "staging \(file.entry.path)") {
                    () throws(DatabaseError) in
                    try file.use { descriptor throws(DatabaseError) in
                        do throws(SystemError) {
                            let failure: SystemError? = buffer.withUnsafeReadableBytes { bytes in
                                do throws(SystemError) {
                                    try Descriptor.writeAll(descriptor, bytes)
                                    return nil
                                } catch { return error }
                            }
                            if let failure { throw failure }
                        } catch {
                            throw error.error(
                                "stage \(file.entry.path) of scan \(scan)", scan: scan,
                                path: file.entry.path.rawValue)
                        }
                    }
                }
                meter.add(Int64(buffer.readableBytes))
            case .end(let announced):
                if let entry = directory {
                    builder.append(entry)
                    directory = nil
                    continue
                }
                guard let (file, hasher, _) = current else { throw disorder("a file ends that never began") }
                current = nil
                let digest = hasher.finalize()
                if let expected = announced ?? file.entry.digest, expected != digest {
                    throw tree.mismatch(file.entry, "its SHA-256 is not the one that was announced")
                }
                try await BlockingThreads.run(while: "staging \(file.entry.path)") {
                    () throws(DatabaseError) in
                    guard let descriptor = file.take() else { return }
                    try tree.finish(file.entry, descriptor: descriptor, digest: digest)
                }
                var entry = file.entry
                entry.digest = digest
                builder.append(entry)
            }
        }
        guard current == nil, directory == nil else { throw disorder("the stream ends inside a file") }
        return try builder.build()
    }

    private func disorder(_ how: String) -> DatabaseError {
        DatabaseError(.verificationFailed, "scan \(scan) arrived out of order: \(how)", scan: scan)
    }
}

import CPlatform
import Glibc
import PlantDBCore
import Synchronization

/// Copies files between two local databases with copy_file_range(2): no byte comes to user
/// space, and file systems that can share extents do. Holes stay holes.
final class KernelCopy: Sendable {
    private let files: any LocalScanFiles
    private let tree: StagedTree
    private let meter: ByteMeter
    private let verifiesContent: Bool
    private let isCancelled = Atomic(false)
    /// Set where the pair of file systems cannot do it.
    private let needsReadWrite = Atomic(false)

    /// Between two looks at cancellation and progress.
    private static let stride = 8 << 20
    /// Smaller files have no holes worth two more calls each.
    private static let smallestSparse: Int64 = 1 << 20

    init(files: any LocalScanFiles, tree: StagedTree, meter: ByteMeter, verifiesContent: Bool) {
        self.files = files
        self.tree = tree
        self.meter = meter
        self.verifiesContent = verifiesContent
    }

    /// Runs `body`; files at work stop within ``stride`` bytes when the task is cancelled.
    func cancelling(_ body: () async throws(DatabaseError) -> Void) async throws(DatabaseError) {
        do {
            try await withTaskCancellationHandler(operation: body) {
                isCancelled.store(true, ordering: .relaxed)
            }
        } catch { throw .wrapping(error, while: "copying") }
    }

    /// Stages one file or directory. Blocks.
    func copy(_ entry: FileEntry) throws(DatabaseError) {
        guard entry.kind == .file else { return try tree.makeDirectory(entry) }
        let source = try files.open(entry)
        defer { close(source) }
        let staged = try tree.create(entry)
        var isFinished = false
        do throws(DatabaseError) {
            try copyContent(entry, from: source, to: staged)
            try files.confirm(entry, descriptor: source)
            let digest = verifiesContent ? try digest(of: entry, descriptor: source) : nil
            isFinished = true
            try tree.finish(entry, descriptor: staged, digest: digest)
        } catch {
            if !isFinished { close(staged) }
            try tree.discard(entry)
            throw error
        }
    }

    private func copyContent(_ entry: FileEntry, from source: CInt, to staged: CInt) throws(DatabaseError) {
        var offset: Int64 = 0
        while offset < entry.size {
            var end = entry.size
            if entry.size >= Self.smallestSparse {
                let data = plantdb_seek(source, offset, 0)
                if data < 0 && errno == ENXIO { break }
                if data >= 0 {
                    let hole = plantdb_seek(source, data, 1)
                    if hole >= 0 { end = min(hole, entry.size) }
                    meter.add(min(data, entry.size) - offset)
                    offset = data
                    try position(source, offset, entry)
                    try position(staged, offset, entry)
                }
            }
            while offset < end {
                if isCancelled.load(ordering: .relaxed) {
                    throw DatabaseError(.cancelled, "cancelled while copying \(entry.path)")
                }
                let count = try copyOnce(entry, from: source, to: staged, length: Int(end - offset))
                guard count > 0 else {
                    throw DatabaseError(
                        .sourceChanged, "\(entry.path) became shorter while it was read",
                        path: entry.path.rawValue)
                }
                offset += Int64(count)
                meter.add(Int64(count))
            }
        }
        if offset < entry.size {
            // Its last part is a hole. Setting the size puts it on disk at once, while the bytes are
            // still in memory: after a power cut they would be zeros in a file of the right size
            // and time, which no later run would find.
            guard fdatasync(staged) == 0, ftruncate(staged, off_t(entry.size)) == 0 else {
                throw failure(SystemError(), entry)
            }
            meter.add(entry.size - offset)
        }
    }

    private func position(_ descriptor: CInt, _ offset: Int64, _ entry: FileEntry) throws(DatabaseError) {
        guard lseek(descriptor, off_t(offset), SEEK_SET) >= 0 else { throw failure(SystemError(), entry) }
    }

    private func copyOnce(_ entry: FileEntry, from source: CInt, to staged: CInt, length: Int)
        throws(DatabaseError) -> Int
    {
        let length = min(length, Self.stride)
        if !needsReadWrite.load(ordering: .relaxed) {
            let count = plantdb_copy_file_range(source, staged, length)
            if count > 0 { return count }
            let error = SystemError()
            if count < 0, error.number == EINTR {
                return try copyOnce(entry, from: source, to: staged, length: length)
            }
            // 0: some file systems (FUSE, /proc) answer that instead of copying.
            guard count == 0 || [EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EPERM].contains(error.number) else {
                throw failure(error, entry)
            }
            if count < 0 { needsReadWrite.store(true, ordering: .relaxed) }
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(length, 1 << 20), alignment: 4096)
        defer { buffer.deallocate() }
        do throws(SystemError) {
            var count = -1
            repeat {
                count = read(source, buffer.baseAddress, buffer.count)
            } while count < 0 && errno == EINTR
            guard count >= 0 else { throw SystemError() }
            try Descriptor.writeAll(staged, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            return count
        } catch { throw failure(error, entry) }
    }

    private func digest(of entry: FileEntry, descriptor: CInt) throws(DatabaseError) -> Digest {
        do throws(SystemError) { return try ContentHasher.digest(of: descriptor).digest } catch {
            throw failure(error, entry)
        }
    }

    private func failure(_ error: SystemError, _ entry: FileEntry) -> DatabaseError {
        error.error("copy \(entry.path)", path: entry.path.rawValue)
    }
}

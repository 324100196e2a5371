import Glibc
import PlantDBCore
import Synchronization

/// Adds the SHA-256 of every file to a manifest: from the cache where it vouches for the file,
/// otherwise by reading it, on all processors.
struct DigestReading {
    let root: Directory
    let cache: DigestCache?

    /// Files younger than this are read but not remembered: a later change could carry the
    /// same time stamps (the kernel's clock ticks in milliseconds, NFS's in seconds).
    private static let racyNanoseconds: Int64 = 2_000_000_000

    private struct Progress {
        var manifest: [Int: Digest] = [:]
        var records: [DigestCache.Record] = []
        var failures: [Int: DatabaseError] = [:]
        var readAnything = false
    }

    func adding(to manifest: ScanManifest) async throws(DatabaseError) -> ScanManifest {
        let scan = manifest.scan
        let root = root
        let cache = cache
        let (directory, key, known) = try await BlockingThreads.run(while: "reading digests of \(scan)") {
            () throws(DatabaseError) in
            let key = DigestCache.Key(database: try root.status().identity, scan: scan.rawValue)
            return (try root.directory(scan.rawValue), key, cache?.digests(of: key) ?? [:])
        }
        let now = WallClock.now.nanoseconds
        let progress = Mutex(Progress())
        try await BlockingThreads.forEach(
            manifest.count, workers: BlockingThreads.processorCount, while: "reading scan \(scan)"
        ) { index throws(DatabaseError) in
            let entry = manifest[index]
            guard entry.kind == .file else { return }
            do throws(DatabaseError) {
                let (record, wasRead) = try Self.record(of: entry, in: directory, known: known)
                progress.withLock { state in
                    state.manifest[index] = record.digest
                    if wasRead { state.readAnything = true }
                    if record.stamp.changed < now - Self.racyNanoseconds { state.records.append(record) }
                }
            } catch { progress.withLock { $0.failures[index] = error } }
        }
        let state = progress.withLock { $0 }
        if let cache, state.readAnything || state.records.count != known.count {
            let records = state.records
            try await BlockingThreads.run(while: "remembering digests") { () throws(DatabaseError) in
                cache.store(records, for: key)
            }
        }
        var builder = ScanManifest.Builder(scan: scan)
        for skipped in manifest.skipped { builder.skip(skipped) }
        for index in manifest.indices {
            var entry = manifest[index]
            if let failure = state.failures[index] {
                builder.skip(
                    SkippedEntry(
                        path: entry.path.rawValue, reason: .unreadable,
                        detail: failure.cause ?? failure.message))
            } else {
                entry.digest = state.manifest[index]
                builder.append(entry)
            }
        }
        return try builder.build()
    }

    private static func record(
        of entry: FileEntry, in directory: Directory, known: [String: DigestCache.Record]
    ) throws(DatabaseError) -> (record: DigestCache.Record, wasRead: Bool) {
        let path = entry.path.rawValue
        if let record = known[path], let status = try directory.status(of: path),
            record.stamp == DigestCache.Stamp(status)
        {
            return (record, false)
        }
        let descriptor = try directory.open(path, flags: O_RDONLY | O_NONBLOCK)
        defer { close(descriptor) }
        do throws(SystemError) {
            guard let before = try FileStatus.settled(descriptor) else { throw SystemError(EBUSY) }
            let (digest, size) = try ContentHasher.digest(of: descriptor)
            let after = try FileStatus.of(descriptor)
            guard DigestCache.Stamp(before) == DigestCache.Stamp(after), size == entry.size else {
                throw SystemError(EBUSY)
            }
            return (DigestCache.Record(path: path, stamp: DigestCache.Stamp(after), digest: digest), true)
        } catch {
            if error.number == EBUSY {
                throw DatabaseError(.sourceChanged, "\(path) changed while it was read", path: path)
            }
            throw directory.failure(error, "read", path)
        }
    }
}

extension DigestCache.Stamp {
    init(_ status: FileStatus) {
        self.init(
            inode: status.inode, size: status.size, modified: status.modified.nanoseconds,
            changed: status.changed.nanoseconds)
    }
}

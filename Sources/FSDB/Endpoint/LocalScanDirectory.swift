import Glibc
import NIOCore
import PlantDBCore
import Synchronization

/// The files of one scan, open for reading.
final class LocalScanDirectory: LocalScanFiles {
    private let scan: ScanID
    private let directory: Directory
    /// The change times of files when they were opened, by descriptor: a descriptor that is closed without
    /// being confirmed leaves one, which the next file of that number replaces.
    private let opened = Mutex<[CInt: ModificationTime]>([:])

    init(scan: ScanID, root: Directory) throws(DatabaseError) {
        self.scan = scan
        guard let directory = try root.directoryIfPresent(scan.rawValue) else {
            throw DatabaseError(.notFound, "scan \(scan) is not in \(root.path.printable)", scan: scan)
        }
        self.directory = directory
    }

    func open(_ entry: FileEntry) throws(DatabaseError) -> CInt {
        let descriptor: CInt
        do throws(SystemError) {
            // A FIFO that took the file's place must not block the run.
            descriptor = try directory.openRaw(entry.path.rawValue, flags: O_RDONLY | O_NONBLOCK)
        } catch {
            let isGone = [ENOENT, ENOTDIR, ELOOP, EXDEV, ENXIO].contains(error.number)
            if isGone { throw changed(entry, "it is gone, or is no regular file any more") }
            throw error.error(
                "read \(entry.path) of scan \(scan)", scan: scan, path: entry.path.rawValue)
        }
        do throws(DatabaseError) {
            let status = try looking(at: entry) { () throws(SystemError) in
                try FileStatus.settled(descriptor)
            }
            guard let status else { throw changed(entry, "it is being written to") }
            try check(entry, status)
            opened.withLock { $0[descriptor] = status.changed }
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Also a write that put the time back shows: nobody can set the change time.
    func confirm(_ entry: FileEntry, descriptor: CInt) throws(DatabaseError) {
        let before = opened.withLock { $0.removeValue(forKey: descriptor) }
        let status = try looking(at: entry) { () throws(SystemError) in try FileStatus.of(descriptor) }
        try check(entry, status)
        if let before, before != status.changed {
            throw changed(entry, "it was written to, or its attributes or name were changed")
        }
    }

    private func looking<Status>(at entry: FileEntry, _ look: () throws(SystemError) -> Status)
        throws(DatabaseError) -> Status
    {
        try SystemError.mapping(
            { $0.error("read \(entry.path) of scan \(scan)", scan: scan, path: entry.path.rawValue) }, look)
    }

    private func check(_ entry: FileEntry, _ status: FileStatus) throws(DatabaseError) {
        guard status.kind == .file else { throw changed(entry, "it is no regular file any more") }
        guard status.size == entry.size else {
            throw changed(entry, "its size was \(entry.size) and is \(status.size) bytes")
        }
        if let modified = entry.modified, modified != status.modified {
            throw changed(entry, "its modification time is another")
        }
    }

    private func changed(_ entry: FileEntry, _ how: String) -> DatabaseError {
        DatabaseError(
            .sourceChanged, "\(entry.path) of scan \(scan) changed while it was read: \(how)", scan: scan,
            path: entry.path.rawValue)
    }
}

/// The general way to read: one part at a time, 256 KiB of bytes at most.
actor LocalPartReader {
    private static let chunkSize = 256 << 10

    private let files: LocalScanDirectory
    private let selection: EntrySelection
    private var position = 0
    private var current: OpenFile?
    private var hasEnded = false

    private struct OpenFile {
        let entry: FileEntry
        /// nil for a directory.
        let handle: FileHandle?
        var offset: Int64 = 0
    }

    /// Closes its descriptor when the last reference goes, however the stream ends.
    private final class FileHandle: Sendable {
        let descriptor: CInt
        init(_ descriptor: CInt) { self.descriptor = descriptor }
        deinit { close(descriptor) }
    }

    init(files: LocalScanDirectory, selection: EntrySelection) {
        self.files = files
        self.selection = selection
    }

    func next() async throws(DatabaseError) -> ScanPart? {
        guard !hasEnded else { return nil }
        do throws(DatabaseError) {
            try DatabaseError.checkCancellation(while: "reading scan \(selection.scan)")
            let part = try await step()
            hasEnded = part == nil
            return part
        } catch {
            hasEnded = true
            current = nil
            throw error
        }
    }

    private func step() async throws(DatabaseError) -> ScanPart? {
        guard var file = current else {
            guard position < selection.count else { return nil }
            let entry = selection[position]
            position += 1
            var handle: FileHandle?
            if entry.kind == .file {
                let files = files
                handle = try await BlockingThreads.run(while: "opening \(entry.path)") {
                    () throws(DatabaseError) in FileHandle(try files.open(entry))
                }
            }
            current = OpenFile(entry: entry, handle: handle)
            return .begin(entry)
        }
        guard let handle = file.handle, file.offset < file.entry.size else {
            current = nil
            if let handle = file.handle {
                let files = files
                let entry = file.entry
                try await BlockingThreads.run(while: "reading \(entry.path)") { () throws(DatabaseError) in
                    try files.confirm(entry, descriptor: handle.descriptor)
                }
            }
            return .end(file.entry.digest)
        }
        let entry = file.entry
        let offset = file.offset
        let scan = selection.scan
        let buffer = try await BlockingThreads.run(while: "reading \(entry.path)") {
            () throws(DatabaseError) in
            let wanted = Int(min(Int64(Self.chunkSize), entry.size - offset))
            var buffer = ByteBufferAllocator().buffer(capacity: wanted)
            var number: CInt = 0
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { bytes in
                var count = -1
                repeat {
                    count = pread(handle.descriptor, bytes.baseAddress, wanted, off_t(offset))
                } while count < 0 && errno == EINTR
                if count < 0 { number = errno }
                return max(0, count)
            }
            if number != 0 {
                throw SystemError(number).error(
                    "read \(entry.path) of scan \(scan)", scan: scan, path: entry.path.rawValue)
            }
            return buffer
        }
        guard buffer.readableBytes > 0 else {
            throw DatabaseError(
                .sourceChanged, "\(entry.path) of scan \(scan) became shorter while it was read", scan: scan,
                path: entry.path.rawValue)
        }
        file.offset += Int64(buffer.readableBytes)
        current = file
        return .bytes(buffer)
    }
}

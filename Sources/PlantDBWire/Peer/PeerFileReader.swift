import Glibc
import NIOCore
import PlantDBCore

/// Reads files of this machine as frames, ``PeerFrame/chunkBytes`` or a little more at a time:
/// many small files or a piece of a large one in one buffer, so that a hop between threads is
/// paid once a buffer and not once a file.
///
/// A file that cannot be read becomes ``PeerFrame/failed(_:)`` in place of its end, and the
/// next one follows. Owned by one thread at a time; every call blocks.
public struct PeerFileReader: ~Copyable {
    private let files: any LocalScanFiles
    private let selection: EntrySelection
    /// The last buffers, to be filled again once nobody has them any more: the memory of a new one costs
    /// as much as reading into it. Those that are still being sent are replaced.
    private var buffers = [ByteBuffer](repeating: ByteBuffer(), count: 4)
    private var nextBuffer = 0
    private var position = 0
    private var hasEnded = false
    private var descriptor: CInt = -1
    private var offset: Int64

    /// - Parameter offset: where to begin in the first entry.
    public init(_ selection: EntrySelection, from files: any LocalScanFiles, offset: Int64 = 0) {
        self.files = files
        self.selection = selection
        self.offset = offset
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// nil after the last one.
    public mutating func next() -> ByteBuffer? {
        guard !hasEnded else { return nil }
        var buffer = ByteBuffer()
        swap(&buffer, &buffers[nextBuffer])
        buffer.clear(minimumCapacity: PeerFrame.chunkBytes + 4096)
        while buffer.writableBytes > 0, buffer.readableBytes < PeerFrame.chunkBytes {
            guard position < selection.count else {
                PeerFrameEncoder.encode(.end(count: UInt64(selection.count)), into: &buffer)
                hasEnded = true
                break
            }
            step(into: &buffer)
        }
        buffers[nextBuffer] = buffer
        nextBuffer = (nextBuffer + 1) % buffers.count
        return buffer
    }

    /// A file's beginning, a piece of it, or its end.
    private mutating func step(into buffer: inout ByteBuffer) {
        let entry = selection[position]
        guard entry.kind == .file else {
            PeerFrameEncoder.encode(.entry(entry), into: &buffer)
            PeerFrameEncoder.encode(.fileEnd(nil), into: &buffer)
            position += 1
            return
        }
        do throws(DatabaseError) {
            if descriptor < 0 {
                PeerFrameEncoder.encode(.entry(entry), into: &buffer)
                descriptor = try files.open(entry)
            }
            if offset < entry.size {
                try readPiece(of: entry, into: &buffer)
                if offset < entry.size { return }
            }
            try files.confirm(entry, descriptor: descriptor)
            PeerFrameEncoder.encode(.fileEnd(entry.digest), into: &buffer)
        } catch {
            PeerFrameEncoder.encode(
                .failed(error.locating(scan: selection.scan, path: entry.path.rawValue)), into: &buffer)
        }
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
        offset = 0
        position += 1
    }

    private mutating func readPiece(of entry: FileEntry, into buffer: inout ByteBuffer)
        throws(DatabaseError)
    {
        let wanted = Int(min(entry.size - offset, Int64(PeerFrame.chunkBytes)))
        let descriptor = descriptor
        let offset = offset
        let read = PeerFrameEncoder.encodeBytes(wanted, into: &buffer) { space in
            while true {
                let count = pread(descriptor, space.baseAddress, space.count, off_t(offset))
                if count >= 0 || errno != EINTR { return count }
            }
        }
        guard read >= 0 else {
            throw DatabaseError(
                .io, "cannot read \(entry.path) of scan \(selection.scan)",
                cause: String(cString: strerror(errno)))
        }
        guard read > 0 else {
            throw DatabaseError(
                .sourceChanged,
                "\(entry.path) of scan \(selection.scan) changed while it was read: it became shorter")
        }
        self.offset += Int64(read)
    }
}

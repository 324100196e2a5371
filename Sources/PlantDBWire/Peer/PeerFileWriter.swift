import Glibc
import NIOCore
import PlantDBCore

/// Writes frames into staged files of this machine.
///
/// Owned by one thread at a time; every call blocks.
public struct PeerFileWriter: ~Copyable {
    private let receiver: any LocalFileReceiver
    private let scan: ScanID
    private let meter: ByteMeter
    private var decoder = PeerFrameDecoder()
    private var inspection: GateInspection?
    private var current: OpenFile?
    /// The entry whose bytes are passed over: it could not be made here.
    private var isPassingOver = false
    public private(set) var outcome = LocalCopyOutcome.nothing
    /// What was staged, without digests.
    public private(set) var staged: [FileEntry] = []

    private struct OpenFile {
        let entry: FileEntry
        /// -1 for a directory.
        let descriptor: CInt
        var received: Int64 = 0
    }

    public init(_ receiver: any LocalFileReceiver, scan: ScanID, meter: ByteMeter, passesGate: Bool = false) {
        self.receiver = receiver
        self.scan = scan
        self.meter = meter
        inspection = passesGate ? GateInspection(scan: scan) : nil
    }

    deinit { if let current, current.descriptor >= 0 { close(current.descriptor) } }

    /// The file that is arriving, and how many of its bytes are here: where to go on after a cut.
    public var interrupted: (entry: FileEntry, received: Int64)? {
        current.flatMap { $0.descriptor >= 0 ? ($0.entry, $0.received) : nil }
    }

    /// How many entries are done with, one way or the other.
    public private(set) var entriesDone = 0

    /// - Throws: what ends the stream. A file that cannot be staged is among the failures.
    public mutating func write(_ bytes: ByteBuffer) throws(DatabaseError) {
        decoder.feed(bytes)
        while let frame = try decoder.next() {
            switch frame {
            case .entry(let entry): try begin(entry)
            case .bytes(let content): try write(content: content)
            case .fileEnd(let digest): try end(digest)
            case .failed(let error): try fail(error)
            case .skipped: throw PeerFrameDecoder.invalid("it holds no files")
            case .end:
                guard current == nil, !isPassingOver else {
                    throw PeerFrameDecoder.invalid("it ends inside a file")
                }
            }
        }
    }

    /// - Throws: `unreachable` if the stream was cut.
    public mutating func finish() throws(DatabaseError) { try decoder.finish() }

    /// After a cut: a new stream follows, which begins where ``interrupted`` says.
    public mutating func resume() {
        decoder = PeerFrameDecoder()
        isResuming = current != nil
        isPassingOver = false
    }
    private var isResuming = false

    private mutating func begin(_ entry: FileEntry) throws(DatabaseError) {
        if isResuming {
            isResuming = false
            guard entry.path == current?.entry.path else {
                throw PeerFrameDecoder.invalid("another file than the one asked for")
            }
            return
        }
        guard current == nil, !isPassingOver else {
            throw PeerFrameDecoder.invalid("a file begins in another")
        }
        inspection?.begin(entry)
        do throws(DatabaseError) {
            if entry.kind == .directory {
                try receiver.makeDirectory(entry)
                current = OpenFile(entry: entry, descriptor: -1)
            } else {
                current = OpenFile(entry: entry, descriptor: try receiver.create(entry))
            }
        } catch {
            try record(error)
            isPassingOver = true
        }
    }

    private mutating func write(content: ByteBuffer) throws(DatabaseError) {
        if isPassingOver { return }
        guard var file = current, file.descriptor >= 0 else {
            throw PeerFrameDecoder.invalid("bytes outside a file")
        }
        guard file.received + Int64(content.readableBytes) <= file.entry.size else {
            throw DatabaseError(
                .verificationFailed, "\(file.entry.path) of scan \(scan) is longer than announced",
                scan: scan, path: file.entry.path.rawValue)
        }
        if let number = Self.writeAll(content, to: file.descriptor, at: file.received) {
            close(file.descriptor)
            current = nil
            isPassingOver = true
            try receiver.discard(file.entry)
            return try record(
                DatabaseError(
                    number == ENOSPC || number == EDQUOT ? .noSpace : .io,
                    "cannot stage \(file.entry.path) of scan \(scan)",
                    cause: String(cString: strerror(number)),
                    scan: scan, path: file.entry.path.rawValue))
        }
        inspection?.pass(content)
        file.received += Int64(content.readableBytes)
        current = file
        meter.add(Int64(content.readableBytes))
    }

    private mutating func end(_ digest: Digest?) throws(DatabaseError) {
        entriesDone += 1
        if isPassingOver {
            isPassingOver = false
            return
        }
        guard let file = current else { throw PeerFrameDecoder.invalid("a file ends that never began") }
        current = nil
        guard file.descriptor >= 0 else {
            staged.append(file.entry)
            return
        }
        do throws(DatabaseError) {
            try receiver.finish(file.entry, descriptor: file.descriptor, digest: digest)
        } catch { return try record(error) }
        try inspection?.end()
        outcome.filesStaged += 1
        outcome.bytesStaged += file.entry.size
        staged.append(file.entry)
    }

    /// The sender could not read the file.
    private mutating func fail(_ error: DatabaseError) throws(DatabaseError) {
        guard current != nil || isPassingOver else { throw error }
        entriesDone += 1
        isPassingOver = false
        if let file = current {
            current = nil
            if file.descriptor >= 0 {
                close(file.descriptor)
                try receiver.discard(file.entry)
            }
        }
        try record(error)
    }

    /// - Throws: what will not get better with the next file.
    private mutating func record(_ error: DatabaseError) throws(DatabaseError) {
        switch error.code {
        case .noSpace, .cancelled, .unreachable, .verificationFailed: throw error
        default: outcome.failures.append(error)
        }
    }

    /// - Returns: errno, if it failed.
    private static func writeAll(_ content: ByteBuffer, to descriptor: CInt, at offset: Int64) -> CInt? {
        content.withUnsafeReadableBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = pwrite(
                    descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done,
                    off_t(offset) + done)
                if count > 0 {
                    done += count
                } else if count == 0 {
                    return EIO
                } else if errno != EINTR {
                    return errno
                }
            }
            return nil
        }
    }
}

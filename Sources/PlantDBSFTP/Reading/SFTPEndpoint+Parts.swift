import NIOCore
import PlantDBCore
import SFTPClient

extension SFTPEndpoint {
    public func parts(of selection: EntrySelection) async throws(DatabaseError) -> ScanPartStream {
        let reader = RemotePartReader(
            selection: selection, top: path(of: selection.scan), session: try await connections.session())
        return ScanPartStream { () async throws(DatabaseError) in try await reader.next() }
    }
}

/// The general way to read: files in order, and those that come next on their way already.
private actor RemotePartReader {
    /// Files opened ahead, and bytes of them: enough to hide the latency of small files.
    private static let filesAhead = 32
    private static let bytesAhead: Int64 = 8 << 20

    private let selection: EntrySelection
    private let top: RemotePath
    private let session: SFTPSession
    private var position = 0
    private var nextAhead = 0
    /// Whole contents of small files, read ahead.
    private var ahead: [Int: Task<Result<[ByteBuffer], DatabaseError>, Never>] = [:]
    private var bytesOnTheWay: Int64 = 0
    private var current: Current?
    private var hasEnded = false

    private struct Current {
        var entry: FileEntry
        /// What is left of a file that was read ahead.
        var buffers: ArraySlice<ByteBuffer> = []
        /// A large file; nil for one that was read ahead, and for a directory.
        var reader: RemoteFileReader?
    }

    init(selection: EntrySelection, top: RemotePath, session: SFTPSession) {
        self.selection = selection
        self.top = top
        self.session = session
    }

    func next() async throws(DatabaseError) -> ScanPart? {
        if hasEnded { return nil }
        do throws(DatabaseError) {
            try DatabaseError.checkCancellation(while: "reading scan \(selection.scan)")
            let part = try await step()
            hasEnded = part == nil
            return part
        } catch {
            hasEnded = true
            for task in ahead.values { task.cancel() }
            ahead = [:]
            throw error
        }
    }

    private func step() async throws(DatabaseError) -> ScanPart? {
        if var file = current {
            if let reader = file.reader {
                if let buffer = try await reader.next() { return .bytes(buffer) }
            } else if let buffer = file.buffers.popFirst() {
                current = file
                return .bytes(buffer)
            }
            current = nil
            return .end(file.entry.digest)
        }
        guard position < selection.count else { return nil }
        readAhead()
        let index = position
        position += 1
        let entry = selection[index]
        var file = Current(entry: entry)
        if let task = ahead.removeValue(forKey: index) {
            bytesOnTheWay -= entry.size
            switch await task.value {
            case .success(let buffers): file.buffers = buffers[...]
            case .failure(let error): throw error
            }
        } else if entry.kind == .file {
            file.reader = reader(of: entry)
        }
        current = file
        return .begin(entry)
    }

    private func readAhead() {
        nextAhead = max(nextAhead, position)
        while nextAhead < selection.count, ahead.count < Self.filesAhead, bytesOnTheWay < Self.bytesAhead {
            let entry = selection[nextAhead]
            if entry.kind == .file, entry.size <= Self.bytesAhead / 8 {
                let reader = reader(of: entry)
                bytesOnTheWay += entry.size
                ahead[nextAhead] = Task {
                    var buffers: [ByteBuffer] = []
                    do throws(DatabaseError) {
                        while let buffer = try await reader.next() { buffers.append(buffer) }
                        return .success(buffers)
                    } catch { return .failure(error) }
                }
            }
            nextAhead += 1
        }
    }

    private func reader(of entry: FileEntry) -> RemoteFileReader {
        RemoteFileReader(
            session: session, path: top.appending(entry.path.rawValue), entry: entry, scan: selection.scan)
    }
}

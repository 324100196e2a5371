import Dispatch
import Glibc
import PlantDBCore
import SFTPClient
import Synchronization

/// Writes packed files into a staged tree of this machine, on two threads: making a file takes
/// longer than receiving it. What does not come as it was listed remains, for those who can say why.
final class PackedFetch: PackedDownloadSink {
    private static let batchLimit = 1024
    /// What a thread writes in one go: enough that handing it over does not count.
    private static let bundleBytes = 256 << 10
    private static let bundleFiles = 64
    /// Bundles that are written, or wait for it.
    private static let bundleLimit = 4

    /// Files that came one after another.
    private struct Bundle {
        var bytes: [UInt8] = []
        /// Places in the selection, and sizes.
        var files: [(place: Int, size: Int)] = []
    }

    private struct State {
        /// Of `files`.
        var next = 0
        /// What was asked for and has not ended, as places in the selection.
        var batches: [[Int]] = []
        /// Of the oldest batch: what came and is not handed over yet, and places of what is written.
        var bundle = Bundle()
        var written: [Int] = []
        var settled: Set<Int> = []
        var outcome = LocalCopyOutcome.nothing
        /// Nothing is begun after a failure that will not get better with the next file.
        var isStopped = false
    }

    private let selection: EntrySelection
    private let files: [Int]
    private let receiver: any LocalFileReceiver
    private let meter: ByteMeter
    private let state = Mutex(State())
    private let writing = DispatchGroup()
    private let space = DispatchSemaphore(value: PackedFetch.bundleLimit)

    init(
        _ selection: EntrySelection, _ files: [Int], into receiver: any LocalFileReceiver, _ meter: ByteMeter
    ) {
        self.selection = selection
        self.files = files
        self.receiver = receiver
        self.meter = meter
    }

    var outcome: LocalCopyOutcome { state.withLock { $0.outcome } }

    /// What is neither staged nor failed.
    var remaining: [Int] {
        state.withLock { state in state.isStopped ? [] : files.filter { !state.settled.contains($0) } }
    }

    func nextBatch() -> [[UInt8]]? {
        state.withLock { state in
            guard !state.isStopped, state.next < files.count else { return nil }
            let batch = Array(files[state.next...].prefix(Self.batchLimit))
            state.next += batch.count
            state.batches.append(batch)
            return batch.map { Array(selection[$0].path.rawValue.utf8) }
        }
    }

    func received(_ index: Int, _ header: TarHeader, content: UnsafeRawBufferPointer?) {
        guard let content else { return }
        let isFull = state.withLock { state in
            guard !state.isStopped, let place = state.batches.first?[index] else { return false }
            let entry = selection[place]
            guard header.size == UInt64(entry.size), Int64(header.modified) == entry.modified?.seconds
            else { return false }
            state.bundle.bytes.append(contentsOf: content)
            state.bundle.files.append((place, content.count))
            return state.bundle.bytes.count >= Self.bundleBytes
                || state.bundle.files.count >= Self.bundleFiles
        }
        if isFull { handOver() }
    }

    /// Blocks while much waits to be written.
    private func handOver() {
        let bundle = state.withLock { state in
            defer { state.bundle = Bundle() }
            return state.bundle
        }
        guard !bundle.files.isEmpty else { return }
        space.wait()
        writing.enter()
        Blocking.start {
            self.write(bundle)
            self.space.signal()
            self.writing.leave()
        }
    }

    private func write(_ bundle: Bundle) {
        var written: [Int] = []
        var failures: [(Int, DatabaseError)] = []
        bundle.bytes.withUnsafeBytes { bytes in
            var start = 0
            for file in bundle.files {
                let content = UnsafeRawBufferPointer(rebasing: bytes[start..<start + file.size])
                start += file.size
                do throws(DatabaseError) {
                    try write(content, selection[file.place])
                    meter.add(Int64(file.size))
                    written.append(file.place)
                } catch { failures.append((file.place, error)) }
            }
        }
        state.withLock { state in
            state.written += written
            for (place, error) in failures {
                state.outcome.failures.append(error)
                state.settled.insert(place)
                if error.code == .noSpace || error.code == .cancelled { state.isStopped = true }
            }
        }
    }

    private func write(_ content: UnsafeRawBufferPointer, _ entry: FileEntry) throws(DatabaseError) {
        let descriptor = try receiver.create(entry)
        do throws(SFTPError) { try Descriptors.write(content, to: descriptor, at: 0) } catch {
            close(descriptor)
            throw .reading(error, entry, selection.scan)
        }
        try receiver.finish(entry, descriptor: descriptor, digest: nil)
    }

    func batchEnded(isProven: Bool) {
        handOver()
        writing.wait()
        let written = state.withLock { state in
            state.batches.removeFirst()
            defer { state.written = [] }
            return state.written
        }
        for place in written {
            let entry = selection[place]
            if isProven {
                state.withLock { state in
                    state.settled.insert(place)
                    state.outcome.filesStaged += 1
                    state.outcome.bytesStaged = state.outcome.bytesStaged.addingSaturated(entry.size)
                }
                continue
            }
            meter.add(-entry.size)
            do throws(DatabaseError) { try receiver.discard(entry) } catch {
                state.withLock { state in
                    state.outcome.failures.append(error)
                    state.settled.insert(place)
                }
            }
        }
    }
}

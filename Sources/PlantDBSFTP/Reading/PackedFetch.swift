import Dispatch
import Glibc
import PlantDBCore
import SFTPClient
import Synchronization

/// Writes packed files into a staged tree of this machine, small ones on threads beside the one that
/// receives: making a file takes longer than receiving it. What does not come as it was listed remains, for
/// those who can say why.
final class PackedFetch: PackedDownloadSink {
    private static let batchLimit = 1024
    /// What is asked for in one go, in bytes, unless one file alone is larger: with less, starting tar for it
    /// counts.
    private static let batchBytes: Int64 = 32 << 20
    /// Where other connections help, which could fetch a part of it.
    private static let batchBytesWhereSlow: Int64 = 4 << 20
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
        /// Of `files`: what nobody asked for yet.
        var unasked: Range<Int>
        /// What was asked for and has not ended, as places in the selection.
        var batches: [[Int]] = []
        /// Of the oldest batch: what came and is not handed over yet, and places of what is written.
        var bundle = Bundle()
        /// Bundles that nobody writes yet.
        var waiting: [Bundle] = []
        var writers = 0
        /// Memory of bundles that are written.
        var spare: [[UInt8]] = []
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
    private let state: Mutex<State>
    private let traffic: ConnectionTraffic
    private let writing = DispatchGroup()
    private let space = DispatchSemaphore(value: PackedFetch.bundleLimit)

    /// - Parameter traffic: counts what comes, where `meter` counts what is of use.
    init(
        _ selection: EntrySelection, _ files: [Int], into receiver: any LocalFileReceiver, _ meter: ByteMeter,
        traffic: ConnectionTraffic
    ) {
        self.selection = selection
        self.files = files
        self.receiver = receiver
        self.meter = meter
        self.traffic = traffic
        state = Mutex(State(unasked: files.indices))
    }

    var outcome: LocalCopyOutcome { state.withLock { $0.outcome } }

    /// What is neither staged nor failed: what tar was asked for and did not bring, and the rest.
    var remaining: (asked: [Int], unasked: [Int]) {
        state.withLock { state in
            if state.isStopped { return ([], []) }
            func unsettled(_ files: some Sequence<Int>) -> [Int] {
                files.filter { !state.settled.contains($0) }
            }
            let next = state.unasked.lowerBound
            return (unsettled(files[..<next]), unsettled(files[next...]))
        }
    }

    func nextBatch() -> [[UInt8]]? {
        state.withLock { state in
            guard !state.isStopped, !state.unasked.isEmpty else { return nil }
            let limit = traffic.isSlow ? Self.batchBytesWhereSlow : Self.batchBytes
            var batch: [Int] = []
            var bytes: Int64 = 0
            while let next = state.unasked.first, batch.count < Self.batchLimit {
                bytes = bytes.addingSaturated(selection.facts(at: files[next]).size)
                if bytes > limit, !batch.isEmpty { break }
                batch.append(files[state.unasked.removeFirst()])
            }
            state.batches.append(batch)
            return batch.map { Array(selection.pathBytes(at: $0)) }
        }
    }

    /// A large file that was not asked for yet, for somebody else to fetch. It remains unless it is
    /// ``settle(_:)``d.
    func giveAway() -> Int? {
        state.withLock { state in
            guard !state.isStopped, let last = state.unasked.last,
                selection.facts(at: files[last]).size > Int64(RemoteTar.smallFileLimit)
            else { return nil }
            state.unasked.removeLast()
            return files[last]
        }
    }

    /// What was given away is staged.
    func settle(_ place: Int) { state.withLock { settle(place, &$0) } }

    private func settle(_ place: Int, _ state: inout State) {
        state.settled.insert(place)
        state.outcome.filesStaged += 1
        state.outcome.bytesStaged = state.outcome.bytesStaged.addingSaturated(
            selection.facts(at: place).size)
    }

    /// The place of a file that comes as it was listed.
    private func place(_ index: Int, _ header: TarHeader, _ state: State) -> Int? {
        guard !state.isStopped, let place = state.batches.first?[index] else { return nil }
        let listed = selection.facts(at: place)
        guard header.size == UInt64(listed.size), Int64(header.modified) == listed.modified?.seconds else {
            return nil
        }
        return place
    }

    func received(_ index: Int, _ header: TarHeader, content: UnsafeRawBufferPointer) {
        traffic.besideSFTP.add(Int64(content.count))
        let isFull = state.withLock { state in
            guard let place = place(index, header, state) else { return false }
            state.bundle.bytes.append(contentsOf: content)
            state.bundle.files.append((place, content.count))
            return state.bundle.bytes.count >= Self.bundleBytes
                || state.bundle.files.count >= Self.bundleFiles
        }
        if isFull { handOver() }
    }

    // MARK: Large files

    func listedSize(_ index: Int) -> UInt64 {
        let place = state.withLock { $0.batches.first?[index] }
        return place.map { UInt64(selection.facts(at: $0).size) } ?? 0
    }

    func open(_ index: Int, _ header: TarHeader) -> CInt? {
        guard let place = state.withLock({ self.place(index, header, $0) }) else { return nil }
        do throws(DatabaseError) { return try receiver.create(selection[place]) } catch {
            record([(place, error)])
            return nil
        }
    }

    func received(bytes: Int) {
        meter.add(Int64(bytes))
        traffic.besideSFTP.add(Int64(bytes))
    }

    func complete(_ index: Int, descriptor: CInt, _ failure: SFTPError?) {
        guard let place = state.withLock({ $0.batches.first?[index] }) else { return }
        let entry = selection[place]
        do throws(DatabaseError) {
            if let failure {
                meter.add(-Int64(max(0, lseek(descriptor, 0, SEEK_CUR))))
                close(descriptor)
                // What was lost on the way remains.
                if failure.code != .local { return try receiver.discard(entry) }
                throw .reading(failure, entry, selection.scan)
            }
            try receiver.finish(entry, descriptor: descriptor, digest: nil)
            state.withLock { $0.written.append(place) }
        } catch { record([(place, error)]) }
    }

    // MARK: Small files

    /// Blocks while much waits to be written.
    private func handOver() {
        let bundle = state.withLock { state -> Bundle? in
            if state.bundle.files.isEmpty { return nil }
            defer { state.bundle = Bundle(bytes: state.spare.popLast() ?? []) }
            return state.bundle
        }
        guard let bundle else { return }
        space.wait()
        writing.enter()
        let needsWriter = state.withLock { state in
            state.waiting.append(bundle)
            guard state.writers < Self.bundleLimit else { return false }
            state.writers += 1
            return true
        }
        guard needsWriter else { return }
        Blocking.start {
            while let bundle = self.nextBundle() {
                self.write(bundle)
                self.space.signal()
                self.writing.leave()
            }
        }
    }

    /// nil: the writer is not needed any more.
    private func nextBundle() -> Bundle? {
        state.withLock { state in
            if state.waiting.isEmpty {
                state.writers -= 1
                return nil
            }
            return state.waiting.removeFirst()
        }
    }

    private func write(_ bundle: consuming Bundle) {
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
        bundle.bytes.removeAll(keepingCapacity: true)
        let emptied = bundle.bytes
        state.withLock { state in
            state.written += written
            state.spare.append(emptied)
        }
        record(failures)
    }

    private func record(_ failures: [(Int, DatabaseError)]) {
        state.withLock { state in
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
        if isProven { return state.withLock { state in for place in written { settle(place, &state) } } }
        for place in written {
            let entry = selection[place]
            meter.add(-entry.size)
            do throws(DatabaseError) { try receiver.discard(entry) } catch { record([(place, error)]) }
        }
    }
}

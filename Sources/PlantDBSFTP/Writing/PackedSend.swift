import Glibc
import PlantDBCore
import SFTPClient
import Synchronization

/// Packs files of this machine into archives for a staged tree on a server.
final class PackedSend: PackedUploadSource {
    /// In bytes: large enough that starting tar for each does not count, small enough to be held
    /// three times.
    private static let archiveSize = 4 << 20

    private let selection: EntrySelection
    private let places: [Int]
    private let files: any LocalScanFiles
    private let tree: RemoteStagedTree
    private let meter: ByteMeter
    private let state = Mutex(State())

    private struct State {
        /// Of `places`.
        var next = 0
        /// What is on the way, as places in the selection.
        var archives: [[Int]] = []
        var torn: [Int] = []
        var settled: Set<Int> = []
        var outcome = LocalCopyOutcome.nothing
        /// Nothing is begun after a failure that will not get better with the next file.
        var isStopped = false
    }

    init(
        _ selection: EntrySelection, _ places: [Int], from files: any LocalScanFiles,
        to tree: RemoteStagedTree, _ meter: ByteMeter
    ) {
        self.selection = selection
        self.places = places
        self.files = files
        self.tree = tree
        self.meter = meter
    }

    var outcome: LocalCopyOutcome { state.withLock { $0.outcome } }
    /// Whether an archive may still be being unpacked, since nobody said how it ended.
    var mayGoOn: Bool { state.withLock { !$0.archives.isEmpty } }
    /// What may be there in part.
    var torn: [Int] { state.withLock { $0.torn } }
    /// What is neither staged nor failed.
    var remaining: [Int] {
        state.withLock { state in state.isStopped ? [] : places.filter { !state.settled.contains($0) } }
    }

    func nextArchive() -> [UInt8]? {
        var archive: [UInt8] = []
        archive.reserveCapacity(Self.archiveSize + RemoteTar.smallFileLimit + 4096)
        var packed: [Int] = []
        while archive.count < Self.archiveSize, let place = nextPlace() {
            do throws(DatabaseError) {
                try append(selection[place], to: &archive)
                packed.append(place)
            } catch {
                state.withLock { state in
                    state.outcome.failures.append(error)
                    state.settled.insert(place)
                    if error.code == .cancelled || error.code == .io { state.isStopped = true }
                }
            }
        }
        guard !packed.isEmpty else { return nil }
        archive.append(contentsOf: repeatElement(0, count: 2 * TarHeader.blockSize))
        state.withLock { $0.archives.append(packed) }
        return archive
    }

    private func nextPlace() -> Int? {
        state.withLock { state in
            guard !state.isStopped, state.next < places.count else { return nil }
            state.next += 1
            return places[state.next - 1]
        }
    }

    /// Appends all of it, or nothing, and throws.
    private func append(_ entry: FileEntry, to archive: inout [UInt8]) throws(DatabaseError) {
        let descriptor = try files.open(entry)
        defer { close(descriptor) }
        let start = archive.count
        let header = TarHeader(
            name: Array("./\(entry.path.rawValue)".utf8), mode: entry.mode ?? 0o644, size: UInt64(entry.size),
            modified: UInt64(UInt32(clamping: entry.modified?.seconds ?? 0)))
        header.append(to: &archive)
        let content = archive.count
        archive.append(contentsOf: repeatElement(0, count: Int(header.paddedSize)))
        do throws(DatabaseError) {
            let read = archive.withUnsafeMutableBytes { bytes in
                let space = UnsafeMutableRawBufferPointer(
                    rebasing: bytes[content..<content + Int(entry.size)])
                return Result { () throws(SFTPError) in try Descriptors.read(descriptor, into: space, at: 0) }
            }
            let count: Int
            do throws(SFTPError) { count = try read.get() } catch { throw tree.failure(error, entry) }
            guard count == Int(entry.size) else {
                throw DatabaseError(
                    .sourceChanged,
                    "\(entry.path) of scan \(selection.scan) became shorter while it was read",
                    scan: selection.scan, path: entry.path.rawValue)
            }
            try files.confirm(entry, descriptor: descriptor)
        } catch {
            archive.removeSubrange(start...)
            throw error
        }
    }

    func archiveEnded(isWhole: Bool) {
        state.withLock { state in
            for place in state.archives.removeFirst() {
                guard isWhole else {
                    state.torn.append(place)
                    continue
                }
                let entry = selection[place]
                tree.note(entry)
                meter.add(entry.size)
                state.settled.insert(place)
                state.outcome.filesStaged += 1
                state.outcome.bytesStaged = state.outcome.bytesStaged.addingSaturated(entry.size)
            }
        }
    }
}

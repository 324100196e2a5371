import Glibc
import PlantDBCore
import SFTPClient
import Synchronization

extension SFTPEndpoint: FileFetcher {
    public var fileFetcher: (any FileFetcher)? { self }

    public func fetch(_ selection: EntrySelection, into receiver: any LocalFileReceiver, meter: ByteMeter)
        async throws(DatabaseError) -> LocalCopyOutcome
    {
        try await Threads.run { () throws(DatabaseError) in
            for entry in selection where entry.kind == .directory { try receiver.makeDirectory(entry) }
        }
        let files = SmallFiles(of: selection) { $0.isPackable }
        let top = path(of: selection.scan)
        guard !files.small.isEmpty else {
            return try await fetch(selection, files.others, into: receiver, meter)
        }
        let packed = PackedFetch(selection, files.small, into: receiver, meter)
        async let others = fetch(selection, files.others, into: receiver, meter)
        // Whatever tar did not do is left to SFTP, which says why it cannot be done.
        await packing.use { (tar) async throws(SFTPError) in try await tar.download(from: top, to: packed) }
        let rest: LocalCopyOutcome
        do { rest = try await others } catch {
            throw .wrapping(error, while: "reading scan \(selection.scan)")
        }
        let last = try await fetch(selection, packed.remaining, into: receiver, meter)
        return packed.outcome.adding(rest).adding(last)
    }

    /// Fetches the files at these places of the selection, over SFTP.
    private func fetch(
        _ selection: EntrySelection, _ files: [Int], into receiver: any LocalFileReceiver, _ meter: ByteMeter
    ) async throws(DatabaseError) -> LocalCopyOutcome {
        let sink = StagingSink(selection, files, top: path(of: selection.scan), receiver, meter)
        guard !files.isEmpty else { return sink.outcome }
        let limit = selection.isWorthSeveralConnections(files) ? connectionLimit : 1
        let failures = try await connections.use(upTo: limit, growing: isFar ? .atOnce : .whereSlow) {
            session in
            do throws(SFTPError) {
                try await session.download(to: sink)
                return SFTPError?.none
            } catch { return error }
        }
        // A file that was on the way when its connection ended is named among the failures.
        if let failure = failures.compactMap({ $0 }).first, sink.outcome.failures.isEmpty {
            throw .sftp(failure, "read scan \(selection.scan) of \(location)", scan: selection.scan)
        }
        return sink.outcome
    }
}

/// Writes fetched files into a staged tree of this machine.
private final class StagingSink: DownloadSink {
    private let selection: EntrySelection
    private let files: [Int]
    private let top: RemotePath
    private let receiver: any LocalFileReceiver
    private let meter: ByteMeter
    private let state = Mutex(State())

    private struct State {
        var next = 0
        var outcome = LocalCopyOutcome.nothing
        /// Nothing is begun after a failure that will not get better with the next file.
        var isStopped = false
    }

    init(
        _ selection: EntrySelection, _ files: [Int], top: RemotePath, _ receiver: any LocalFileReceiver,
        _ meter: ByteMeter
    ) {
        self.selection = selection
        self.files = files
        self.top = top
        self.receiver = receiver
        self.meter = meter
    }

    var outcome: LocalCopyOutcome { state.withLock { $0.outcome } }

    func next() -> DownloadItem? {
        state.withLock { state in
            guard !state.isStopped, state.next < files.count else { return nil }
            let index = files[state.next]
            state.next += 1
            let entry = selection[index]
            return DownloadItem(
                index: index, path: top.appending(entry.path.rawValue), size: UInt64(entry.size))
        }
    }

    func open(_ item: DownloadItem) -> CInt? {
        do throws(DatabaseError) { return try receiver.create(selection[item.index]) } catch {
            record(error)
            return nil
        }
    }

    func received(bytes: Int) { meter.add(Int64(bytes)) }

    func complete(_ item: DownloadItem, descriptor: CInt, attributes: FileAttributes) {
        let entry = selection[item.index]
        do throws(DatabaseError) {
            do throws(DatabaseError) {
                try RemoteFileReader.confirm(entry, attributes, scan: selection.scan)
            } catch {
                Glibc.close(descriptor)
                throw error
            }
            try receiver.finish(entry, descriptor: descriptor, digest: nil)
            state.withLock { state in
                state.outcome.filesStaged += 1
                state.outcome.bytesStaged = state.outcome.bytesStaged.addingSaturated(entry.size)
            }
        } catch { record(error) }
    }

    func fail(_ item: DownloadItem, descriptor: CInt?, _ error: SFTPError) {
        if let descriptor { Glibc.close(descriptor) }
        let entry = selection[item.index]
        record(.reading(error, entry, selection.scan))
    }

    private func record(_ error: DatabaseError) {
        state.withLock { state in
            state.outcome.failures.append(error)
            switch error.code {
            case .noSpace, .cancelled, .unreachable: state.isStopped = true
            default: break
            }
        }
    }
}

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
        // On a long way several connections carry more than tar through one.
        let files = PackedFiles(
            of: selection, upTo: isFar ? RemoteTar.smallFileLimit : RemoteTar.fileLimit)
        let top = path(of: selection.scan)
        guard !files.packed.isEmpty else {
            return try await fetch(StagingSink(selection, files.others, top: top, receiver, meter))
        }
        let packed = PackedFetch(
            selection, files.packed, into: receiver, meter, traffic: connections.traffic)
        async let others = fetch(StagingSink(selection, files.others, top: top, receiver, meter))
        // Further connections, where one is slow, fetch what tar has not come to yet.
        let helped = StagingSink(selection, [], more: packed.giveAway, top: top, receiver, meter)
        async let help = fetch(helped, limit: files.isLarge ? connectionLimit : 1) { [packing] in
            // Whatever tar did not do is left to SFTP, which says why it cannot be done.
            await packing.use { (tar) async throws(SFTPError) in
                try await tar.download(from: top, to: packed)
            }
        }
        let rest: LocalCopyOutcome
        do { rest = try await others.adding(help) } catch {
            throw .wrapping(error, while: "reading scan \(selection.scan)")
        }
        let last = try await fetch(StagingSink(selection, packed.remaining, top: top, receiver, meter))
        return packed.outcome.adding(rest).adding(last)
    }

    private func fetch(_ sink: StagingSink) async throws(DatabaseError) -> LocalCopyOutcome {
        guard !sink.files.isEmpty else { return sink.outcome }
        return try await fetch(
            sink, limit: sink.selection.isWorthSeveralConnections(sink.files) ? connectionLimit : 1)
    }

    /// Fetches what `sink` asks for, over SFTP.
    ///
    /// - Parameters:
    ///   - limit: connections at a time.
    ///   - first: what is done instead of it on the connection that is there.
    private func fetch(
        _ sink: StagingSink, limit: Int, insteadOfFirst first: (@Sendable () async -> Void)? = nil
    ) async throws(DatabaseError) -> LocalCopyOutcome {
        let failures = try await connections.use(
            upTo: limit, growing: isFar ? .atOnce : .whereSlow, insteadOfFirst: first
        ) { session in
            do throws(SFTPError) {
                try await session.download(to: sink)
                return SFTPError?.none
            } catch { return error }
        }
        // A file that was on the way when its connection ended is named among the failures.
        if let failure = failures.compactMap({ $0 }).first, sink.outcome.failures.isEmpty {
            let scan = sink.selection.scan
            throw .sftp(failure, "read scan \(scan) of \(location)", scan: scan)
        }
        return sink.outcome
    }
}

/// Writes fetched files into a staged tree of this machine.
private final class StagingSink: DownloadSink {
    let selection: EntrySelection
    /// Places in the selection.
    let files: [Int]
    private let more: @Sendable () -> Int?
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

    /// - Parameter more: what to fetch after `files`.
    init(
        _ selection: EntrySelection, _ files: [Int], more: @escaping @Sendable () -> Int? = { nil },
        top: RemotePath, _ receiver: any LocalFileReceiver, _ meter: ByteMeter
    ) {
        self.selection = selection
        self.files = files
        self.more = more
        self.top = top
        self.receiver = receiver
        self.meter = meter
    }

    var outcome: LocalCopyOutcome { state.withLock { $0.outcome } }

    func next() -> DownloadItem? {
        state.withLock { state in
            guard !state.isStopped else { return nil }
            let index: Int
            if state.next < files.count {
                index = files[state.next]
                state.next += 1
            } else if let another = more() {
                index = another
            } else {
                return nil
            }
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

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
        guard !files.packed.isEmpty else {
            return try await fetch(selection, files.others, into: receiver, meter)
        }
        let top = path(of: selection.scan)
        let packed = PackedFetch(
            selection, files.packed, into: receiver, meter, traffic: connections.traffic)
        async let others = fetch(selection, files.others, into: receiver, meter)
        // Further connections, where one is slow, fetch what tar has not come to yet.
        let help = HelpingSink(packed, selection, top: top, receiver, meter)
        let limit = files.isLarge ? connectionLimit : 1
        async let helped: [Void] = connections.use(
            upTo: limit, growing: .whereSlow,
            first: { [packing] in
                await packing.use { (tar) async throws(SFTPError) in
                    try await tar.download(from: top, to: packed)
                }
            },
            others: { session in
                do throws(SFTPError) { try await session.download(to: help) } catch {
                    // What it did not finish remains.
                }
            })
        let rest: LocalCopyOutcome
        do {
            rest = try await others
            _ = try await helped
        } catch { throw .wrapping(error, while: "reading scan \(selection.scan)") }
        // Whatever tar and its helpers did not do is left to SFTP, which says why it cannot be done.
        let remaining = packed.remaining
        let (asked, failures) = try await plainFiles(selection, remaining.asked)
        var last = try await fetch(selection, asked + remaining.unasked, into: receiver, meter)
        last.failures += failures
        return packed.outcome.adding(rest).adding(last)
    }

    /// Of what tar left out, what still is a file: to open a pipe would wait for whoever writes to it.
    private func plainFiles(_ selection: EntrySelection, _ files: [Int]) async throws(DatabaseError)
        -> (files: [Int], failures: [DatabaseError])
    {
        guard !files.isEmpty else { return ([], []) }
        let top = path(of: selection.scan)
        let found = try await connections.session()
            .attributes(of: files.map { top.appending(selection[$0].path.rawValue) })
        var result: (files: [Int], failures: [DatabaseError]) = ([], [])
        for (index, found) in zip(files, found) {
            // What is wrong otherwise, reading says.
            guard case .success(let attributes?) = found, let kind = attributes.kind, kind != .file else {
                result.files.append(index)
                continue
            }
            let path = selection[index].path
            result.failures.append(
                DatabaseError(
                    .sourceChanged, "\(path) of scan \(selection.scan) is no file any more",
                    scan: selection.scan, path: path.rawValue))
        }
        return result
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

/// Fetches large files that tar has not come to yet, for a staged tree of this machine. What it does not
/// stage whole remains, as if nobody had begun it: nobody depends on the further connections.
private final class HelpingSink: DownloadSink {
    private let packed: PackedFetch
    private let selection: EntrySelection
    private let top: RemotePath
    private let receiver: any LocalFileReceiver
    private let meter: ByteMeter
    private let isStopped = Atomic(false)

    init(
        _ packed: PackedFetch, _ selection: EntrySelection, top: RemotePath,
        _ receiver: any LocalFileReceiver, _ meter: ByteMeter
    ) {
        self.packed = packed
        self.selection = selection
        self.top = top
        self.receiver = receiver
        self.meter = meter
    }

    func next() -> DownloadItem? {
        guard !isStopped.load(ordering: .relaxed), let index = packed.giveAway() else { return nil }
        let entry = selection[index]
        return DownloadItem(
            index: index, path: top.appending(entry.path.rawValue), size: UInt64(entry.size))
    }

    func open(_ item: DownloadItem) -> CInt? {
        do throws(DatabaseError) { return try receiver.create(selection[item.index]) } catch {
            stop()
            return nil
        }
    }

    /// Counted once they are of use.
    func received(bytes: Int) {}

    func complete(_ item: DownloadItem, descriptor: CInt, attributes: FileAttributes) {
        let entry = selection[item.index]
        do throws(DatabaseError) {
            try RemoteFileReader.confirm(entry, attributes, scan: selection.scan)
        } catch { return giveUp(entry, descriptor) }
        do throws(DatabaseError) {
            try receiver.finish(entry, descriptor: descriptor, digest: nil)
        } catch { return giveUp(entry, nil) }
        meter.add(entry.size)
        packed.settle(item.index)
    }

    func fail(_ item: DownloadItem, descriptor: CInt?, _ error: SFTPError) {
        if descriptor != nil { giveUp(selection[item.index], descriptor) } else { stop() }
    }

    private func giveUp(_ entry: FileEntry, _ descriptor: CInt?) {
        stop()
        if let descriptor { Glibc.close(descriptor) }
        // Whoever fetches it again finds what cannot be removed, and says so.
        try? receiver.discard(entry)
    }

    private func stop() { isStopped.store(true, ordering: .relaxed) }
}

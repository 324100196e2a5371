import PlantDBCore
import SFTPClient

/// The tars of one endpoint: started when they are needed, each used by one scan at a time, and
/// given up for good where the server does not let us, or one failed.
actor RemotePacking {
    /// More would take memory, and each starts a shell over there.
    private static let limit = 2

    private let destination: SSHDestination
    private let askpass: AskpassServer?
    private var isUsable = true
    private var idle: [RemoteTar] = []
    private let turns = Turns(RemotePacking.limit)

    init(_ destination: SSHDestination, askpass: AskpassServer?) {
        self.destination = destination
        self.askpass = askpass
    }

    /// Runs `body` with a tar, where there is one.
    ///
    /// - Returns: what kept it from its end; nil: nothing, or it was not run at all.
    @discardableResult
    func use(_ body: @Sendable (RemoteTar) async throws(SFTPError) -> Void) async -> SFTPError? {
        await turns.take()
        defer { turns.giveBack() }
        guard !Task.isCancelled, let tar = await ready() else { return nil }
        do throws(SFTPError) {
            try await body(tar)
            idle.append(tar)
            return nil
        } catch {
            // A lost connection says nothing about the server.
            if error.code != .cancelled, error.code != .connectionLost { isUsable = false }
            await tar.close()
            return error
        }
    }

    private func ready() async -> RemoteTar? {
        guard isUsable else { return nil }
        if let tar = idle.popLast() { return tar }
        do throws(SFTPError) { return try await RemoteTar.start(destination, askpass: askpass) } catch {
            // SFTP does it as well.
            isUsable = false
            return nil
        }
    }

    func close() async {
        isUsable = false
        for _ in 0..<Self.limit { await turns.take() }
        while let tar = idle.popLast() { await tar.close() }
        for _ in 0..<Self.limit { turns.giveBack() }
    }
}

extension FileEntry {
    /// Whether tar carries all that is kept of it.
    var isPackable: Bool {
        kind == .file && size <= Int64(RemoteTar.fileLimit) && mode != nil && modified != nil
            && path.rawValue.utf8.count <= RemoteTar.nameLimit
    }
}

/// The files of a selection, by their places in it: those that are worth packing, and the others.
struct SmallFiles {
    /// Fewer are at the other end before another process is started there.
    private static let minimum = 256

    private(set) var small: [Int] = []
    private(set) var others: [Int] = []

    init(of selection: EntrySelection, where isPackable: (FileEntry) -> Bool) {
        for (index, entry) in selection.enumerated() where entry.kind == .file {
            if isPackable(entry) { small.append(index) } else { others.append(index) }
        }
        if small.count < Self.minimum {
            others = selection.indices.filter { selection[$0].kind == .file }
            small = []
        }
    }
}

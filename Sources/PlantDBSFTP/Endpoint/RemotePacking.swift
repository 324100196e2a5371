import PlantDBCore
import SFTPClient

/// The tars of one endpoint: started when they are needed, each used for one scan at a time, and
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

/// The files of a selection, by their places in it: those that go by tar, and the others.
struct PackedFiles {
    /// Fewer are at the other end before another process is started there.
    private static let minimumCount = 256
    private static let minimumBytes: Int64 = 8 << 20

    /// The small ones come first.
    private(set) var packed: [Int] = []
    private(set) var others: [Int] = []
    /// Whether large ones are worth a second connection.
    private(set) var isLarge = false

    /// Packed is what tar carries whole, with all that is kept of it.
    ///
    /// - Parameter largest: of the files that may be packed, in bytes.
    init(
        of selection: EntrySelection, upTo largest: Int, where isAllowed: (Int) -> Bool = { _ in true }
    ) {
        var large: [Int] = []
        var bytes: Int64 = 0
        for index in selection.indices {
            let entry = selection.facts(at: index)
            guard entry.kind == .file else { continue }
            let isPackable =
                entry.mode != nil && entry.modified != nil
                && selection.pathBytes(at: index).count <= RemoteTar.nameLimit
            if !isPackable || entry.size > Int64(largest) || !isAllowed(index) {
                others.append(index)
            } else if entry.size > Int64(RemoteTar.smallFileLimit) {
                large.append(index)
                bytes = bytes.addingSaturated(entry.size)
            } else {
                packed.append(index)
            }
        }
        packed += large
        isLarge = bytes > Self.minimumBytes
        if !isLarge, packed.count < Self.minimumCount {
            others = selection.indices.filter { selection.facts(at: $0).kind == .file }
            packed = []
        }
    }
}

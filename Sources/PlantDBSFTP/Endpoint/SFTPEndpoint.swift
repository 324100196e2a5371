import PlantDBCore
import SFTPClient
import Synchronization

/// A database on another machine, over SFTP, as a side of a synchronisation.
public final class SFTPEndpoint: DatabaseEndpoint, LockInspecting, AccountListing {
    public let location: DatabaseLocation
    public let capabilities: EndpointCapabilities
    let root: RemotePath
    let connections: SFTPConnections
    private let command: RemoteCommand
    let digester: RemoteDigester
    let packing: RemotePacking
    private let sharing: ConnectionSharing?
    /// Whether the database exists already; a target is made at its first lock.
    private let exists: Mutex<Bool>
    private let area = AreaHolder()
    let publishing = PublishingLock()

    /// How to reach a server.
    public struct Access: Sendable {
        public var destination: SSHDestination
        public var askpass: AskpassServer?

        public init(_ destination: SSHDestination, askpass: AskpassServer? = nil) {
            self.destination = destination
            self.askpass = askpass
        }
    }

    public enum Opening: Sendable {
        case existing
        /// Where there is nothing, or an empty directory, a database will be made as soon as it
        /// is locked for writing.
        case creating
    }

    /// Connections at a time: a second one fills the pauses of the first. One lets 2 MiB through a
    /// round trip, which on a long line is less than it carries: four, then.
    var connectionLimit: Int { isFar ? 4 : 2 }
    let isFar: Bool

    /// Logs in, and looks at the database.
    ///
    /// - Parameter path: absolute, or from the account's home directory.
    /// - Throws: `unreachable`, `authentication`, `unsupported` (no SFTP); `notFound` and
    ///   `notADatabase`.
    public static func open(_ access: Access, path: String, _ opening: Opening) async throws(DatabaseError)
        -> SFTPEndpoint
    {
        let host = access.destination.description
        var corrected = access
        let sharing = await ConnectionSharing.make(for: &corrected.destination)
        let access = corrected
        let connect: SFTPConnections.Connect = { isFirst async throws(SFTPError) in
            var destination = access.destination
            if isFirst {
                destination = sharing?.offering(destination) ?? destination
            } else {
                // A connection of its own, for its throughput.
                destination.isInteractive = false
            }
            return try await SFTPSession.open(
                over: try OpenSSHChannel.start(destination, askpass: access.askpass))
        }
        let session = try await translating("connect to \(host)") { () async throws(SFTPError) in
            try await connect(true)
        }
        do throws(DatabaseError) {
            return try await SFTPEndpoint.looking(
                at: path, through: session, opening, host: host, access: access, sharing: sharing,
                connect: connect)
        } catch {
            await session.close()
            throw error
        }
    }

    private static func looking(
        at path: String, through session: SFTPSession, _ opening: Opening, host: String, access: Access,
        sharing: ConnectionSharing?, connect: @escaping SFTPConnections.Connect
    ) async throws(DatabaseError) -> SFTPEndpoint {
        let shown = "ssh://\(host)\(path.hasPrefix("/") ? "" : "/~/")\(path)".printable
        var asked = ContinuousClock.now
        let root = try await absolute(RemotePath(path), session, shown)
        var roundTrip = ContinuousClock.now - asked
        asked = .now
        let found = await session.attributes(of: [root, root.appending(DatabaseLayout.marker)])
        // Of two, one may have found a busy machine.
        roundTrip = min(roundTrip, ContinuousClock.now - asked)
        let attributes = try found[0].get(or: { .sftp($0, "look at \(shown)") })
        var exists = true
        switch attributes?.kind {
        case nil where attributes == nil:
            guard opening == .creating else {
                throw DatabaseError(
                    .notFound,
                    "there is no database at \(shown): the directory does not exist; check the path and whether "
                        + "its disk is mounted")
            }
            exists = false
        case .directory:
            if try found[1].get(or: { .sftp($0, "look at \(shown)") })?.kind != .file {
                let entries = try await translating("list \(shown)") { () async throws(SFTPError) in
                    try await session.entries(ofDirectory: root)
                }
                guard opening == .creating, entries.isEmpty else {
                    throw DatabaseError(
                        .notADatabase,
                        "\(shown) is not a PlantDB database: it has no marker file “\(DatabaseLayout.marker)”; check the "
                            + "path and whether the disk is mounted")
                }
                exists = false
            }
        default:
            throw DatabaseError(.notADatabase, "\(shown) is not a PlantDB database: it is no directory")
        }
        return SFTPEndpoint(
            root: root, shown: shown, exists: exists, session: session, access: access, sharing: sharing,
            roundTrip: roundTrip, connect: connect)
    }

    /// The path as the server resolves it; of what does not exist, its directory's and its name.
    private static func absolute(_ path: RemotePath, _ session: SFTPSession, _ shown: String)
        async throws(DatabaseError) -> RemotePath
    {
        do throws(SFTPError) {
            if case .names(let names) = try await session.request(.realPath(path)), let first = names.first {
                return RemotePath(bytes: first.bytes)
            }
        } catch {
            guard error.code == .status(.noSuchFile) else { throw .sftp(error, "look at \(shown)") }
            throw DatabaseError(
                .notFound, "cannot make a database at \(shown): its parent directory does not exist")
        }
        throw DatabaseError(.invalidData, "the server does not say where \(shown) is")
    }

    private init(
        root: RemotePath, shown: String, exists: Bool, session: SFTPSession, access: Access,
        sharing: ConnectionSharing?, roundTrip: Duration, connect: @escaping SFTPConnections.Connect
    ) {
        isFar = EndpointCapabilities.isFar(roundTrip: roundTrip)
        self.root = root
        self.sharing = sharing
        self.exists = Mutex(exists)
        connections = SFTPConnections(session, description: access.destination.description, connect: connect)
        var unattended = access.destination
        unattended.isInteractive = false
        unattended = sharing?.using(unattended) ?? unattended
        command = RemoteCommand(unattended, askpass: access.askpass)
        digester = RemoteDigester(command: command)
        packing = RemotePacking(unattended, askpass: access.askpass)
        // The machine is not known by its name alone: two spellings of one place are not always
        // told apart, and never taken for two where they are spelled alike.
        let machine = "ssh:\(access.destination.description.lowercased())"
        location = DatabaseLocation(
            description: shown, identity: machine + root.description,
            enclosing: Self.parents(of: root, prefix: machine))
        let extensions = session.server.extensions
        var weaker: [String] = []
        if !extensions.contains(.posixRename) {
            weaker.append(
                "the server cannot replace a file at once (posix-rename), so scans that exist are left alone")
        }
        if !extensions.contains(.fsync) {
            weaker.append(
                "the server cannot flush files (fsync), so a power cut there may lose what was reported done")
        }
        capabilities = EndpointCapabilities(
            writes: extensions.contains(.posixRename) ? .files : .newScans,
            timePrecisionNanoseconds: 1_000_000_000,
            // draft-ietf-secsh-filexfer-02, section 5: 32 bits without a sign.
            times: ModificationTime(seconds: 0)...ModificationTime(seconds: Int64(UInt32.max)),
            concurrentScans: EndpointCapabilities.concurrentScans(roundTrip: roundTrip),
            weakerGuarantees: weaker, isNew: !exists)
    }

    private static func parents(of path: RemotePath, prefix: String) -> Set<String> {
        var result: Set<String> = []
        var text = Substring(path.description)
        while let slash = text.lastIndex(of: "/") {
            text = text[..<slash]
            result.insert(prefix + (text.isEmpty ? "/" : String(text)))
        }
        return result
    }

    func path(of scan: ScanID) -> RemotePath { root.appending(scan.rawValue) }

    var isThere: Bool { exists.withLock { $0 } }

    public func close() async {
        await packing.close()
        await publishing.release()
        await area.close(self)
        await connections.close()
        // Not only when nobody refers to it any more: the process may end before.
        sharing?.remove()
    }

    // MARK: Writing

    public func finds(_ paths: [ScanPath], in scan: ScanID) async throws(DatabaseError) -> [Bool] {
        let (session, path) = (try await connections.session(), path(of: scan))
        return try await translating("look into scan \(scan)", scan: scan) { () async throws(SFTPError) in
            var found: [Bool] = []
            for answer in await session.attributes(of: paths.map { path.appending($0.rawValue) }) {
                found.append(try answer.get() != nil)
            }
            return found
        }
    }

    public func beginTransaction(
        on scan: ScanID, replacing base: ScanRevision?, options: TransactionOptions
    ) async throws(DatabaseError) -> any ScanTransaction {
        try await createIfNeeded()
        if options.locking == .whole { try await checkUpstreamLocks(of: scan, wait: options.lockWait) }
        return try await SFTPTransaction.begin(
            on: scan, replacing: base, options: options, endpoint: self, area: try await area.get(self))
    }

    public func removeScan(_ scan: ScanID, replacing base: ScanRevision, options: TransactionOptions)
        async throws(DatabaseError)
    {
        if options.locking == .whole { try await checkUpstreamLocks(of: scan, wait: options.lockWait) }
        let area = try await area.get(self)
        try await lockedForPublishing(scan, options) { () async throws(DatabaseError) in
            try await RemotePublication(scan: scan, base: base, endpoint: self, options: options)
                .removeScan(area: area)
        }
    }

    public func availableBytes() async throws(DatabaseError) -> Int64? {
        try await fileSystem(of: isThere ? root : root.parent).map { Int64(clamping: $0.availableBytes) }
    }

    /// nil: the server does not tell.
    private func fileSystem(of path: RemotePath) async throws(DatabaseError) -> FileSystemSpace? {
        let session = try await connections.session()
        guard session.server.extensions.contains(.statvfs) else { return nil }
        let reply = try await translating("ask for the free space of \(location)") {
            () async throws(SFTPError) in
            try await session.request(.statvfs(path))
        }
        guard case .fileSystem(let space) = reply else { return nil }
        return space
    }

    public func accountNames() async throws(DatabaseError) -> AccountNames? {
        guard isThere else { return nil }
        let session = try await connections.session()
        func file(_ name: String) async throws(DatabaseError) -> [UInt8]? {
            try await translating("read \(name) of \(location)") { () async throws(SFTPError) in
                try await session.contents(of: root.appending(name), limit: 64 << 20)
            }
        }
        guard let users = try await file(DatabaseLayout.accounts), !users.isEmpty else { return nil }
        return try AccountNames(usersFile: users, groupsFile: try await file(DatabaseLayout.groups))
    }

    /// By date(1), where the account may run it.
    public func currentTime() async throws(DatabaseError) -> ModificationTime? {
        let outcome: RemoteCommand.Outcome
        do throws(SFTPError) {
            outcome = try await command.run("date +%s", input: [], outputLimit: 4096)
        } catch {
            if error.code == .cancelled { throw .sftp(error, "ask \(location) for the time") }
            // Not allowed, or not there. A connection that is lost is found by whoever needs it next.
            return nil
        }
        // Start-up files of the account's shell may have said something before.
        guard outcome.status == 0,
            let line = String(decoding: outcome.output, as: UTF8.self).split(whereSeparator: \.isNewline).last
        else { return nil }
        return Int64(line).map { ModificationTime(seconds: $0) }
    }

    /// Version 3 has one status for all that can go wrong; a full disk, or another one below the database's
    /// root, is found by asking.
    func explained(_ failure: DatabaseError) async -> DatabaseError {
        guard failure.code == .io else { return failure }
        do throws(DatabaseError) {
            guard let own = try await fileSystem(of: root) else { return failure }
            if own.availableBytes < 4 << 20 {
                return DatabaseError(
                    .noSpace, failure.message + ": no space is left there", cause: failure.cause,
                    scan: failure.scan, path: failure.path)
            }
            guard let scan = failure.scan, let place = try await fileSystem(of: path(of: scan)),
                place.identifier != own.identifier
            else { return failure }
            return DatabaseError(
                .unsupported,
                failure.message
                    + ": it lies on another file system than the database's root, and nothing can be "
                    + "put there in one step; make that place a database of its own", cause: failure.cause,
                scan: scan, path: failure.path)
        } catch {
            // Where nobody can tell, the failure stays as it is.
            return failure
        }
    }

    /// As ``translating(_:scan:_:)``, for what needs space.
    func translatingWrites<Value: Sendable>(
        _ what: @autoclosure () -> String, scan: ScanID? = nil, _ body: () async throws(SFTPError) -> Value
    ) async throws(DatabaseError) -> Value {
        do throws(SFTPError) { return try await body() } catch {
            throw await explained(.sftp(error, what(), scan: scan))
        }
    }

    /// Makes the database of a target that does not exist yet.
    func createIfNeeded() async throws(DatabaseError) {
        if isThere { return }
        let session = try await connections.session()
        let root = root
        try await translatingWrites("make a database at \(location)") { () async throws(SFTPError) in
            if try await session.attributes(of: root) == nil {
                try await session.request(.makeDirectory(root))
            }
            let flags: SFTPRequest.OpenFlags = [.write, .create]
            if case .handle(let handle) = try await session.request(
                .open(root.appending(DatabaseLayout.marker), flags))
            {
                try await session.request(.close(handle))
            }
        }
        exists.withLock { $0 = true }
    }

    /// When the database is ours alone, whatever lies in staging belongs to the dead.
    func reclaimStaging() async throws(DatabaseError) { try await area.reclaim(self) }
}

/// The staging area of an endpoint, made at the first write.
private actor AreaHolder {
    private var making: Task<RemoteStagingArea, any Error>?

    func get(_ endpoint: SFTPEndpoint) async throws(DatabaseError) -> RemoteStagingArea {
        let task = making ?? Task { try await RemoteStagingArea.make(in: endpoint) }
        making = task
        do { return try await task.value } catch {
            making = nil
            throw .wrapping(error, while: "preparing \(endpoint.location)")
        }
    }

    func reclaim(_ endpoint: SFTPEndpoint) async throws(DatabaseError) {
        guard making == nil else { return }
        try await RemoteStagingArea.reclaim(in: endpoint)
    }

    func close(_ endpoint: SFTPEndpoint) async {
        guard let making else { return }
        self.making = nil
        // It was never made: nothing is left.
        guard let area = try? await making.value else { return }
        await area.close(endpoint)
    }
}

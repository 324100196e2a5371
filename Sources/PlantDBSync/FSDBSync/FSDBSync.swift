import FSDB
import PlantDBCore
import SFTPClient
import SyncEngine
import Synchronization

/// Synchronises one PlantDB database into another, wherever the two are: upstream's documented
/// class, in Swift.
///
/// ```swift
/// let sync = FSDBSync("/data/greenhouse", "ssh://lab/data/greenhouse")
/// let report = try await sync.sync()
/// print(report.scansPublished, "scans")
/// ```
///
/// It may be used from any thread. One run is at work at a time; each copies what is absent, differs
/// in size or is newer at the source, as `SyncOptions` say.
public final class FSDBSync: Sendable, CustomReflectable {
    public let source: SyncSide
    /// Made if there is nothing.
    public let target: SyncSide
    public let options: SyncOptions
    private let access: (source: RemoteAccess, target: RemoteAccess)
    private let state = Mutex(State())

    private struct State {
        var credentials: [String: (credentials: SSHCredentials, program: String?)] = [:]
        var held: OpenSides?
        var isRunning = false
        /// The run at work, or the last one.
        var task: Task<Result<SyncReport, DatabaseError>, Never>?
        var progress = 0.0
        var error: DatabaseError?
        var report: SyncReport?
        var listeners: [AsyncStream<SyncProgress>.Continuation] = []
    }

    /// - Parameters:
    ///   - options: its selection of scans is replaced by the `sourceScans` of a run.
    ///   - sourceAccess: how the source's machine is reached; its secrets are told to no other, as those of
    ///     `targetAccess`.
    public init(
        _ source: SyncSide, _ target: SyncSide, options: SyncOptions = SyncOptions(),
        sourceAccess: RemoteAccess = RemoteAccess(), targetAccess: RemoteAccess = RemoteAccess()
    ) {
        self.source = source
        self.target = target
        self.options = options
        access = (sourceAccess, targetAccess)
    }

    /// `source` and `target` as texts, without secrets.
    public var sourceDescription: String { source.description }
    public var targetDescription: String { target.description }

    public var customMirror: Mirror {
        Mirror(
            self,
            children: [
                "source": sourceDescription, "target": targetDescription, "isSynchronizing": isSynchronizing,
                "syncProgress": syncProgress,
            ])
    }

    // MARK: Running

    /// Synchronises, and returns when everything is published.
    ///
    /// Cancelling the task stops within seconds: published scans stay, of others nothing is visible,
    /// and the same call goes on where it was.
    ///
    /// - Parameter sourceScans: names or patterns of scans; empty: all.
    /// - Throws: `invalidArgument` while a run is at work; what ended the run, or the first error of
    ///   a scan that was not published. ``report`` has all of it.
    @discardableResult
    public func sync(sourceScans: [String] = []) async throws(DatabaseError) -> SyncReport {
        let task = try start(sourceScans)
        let result = await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
        return try result.get()
    }

    /// Starts to synchronise, and returns at once.
    ///
    /// ``isSynchronizing``, ``syncProgress`` and ``progressUpdates`` tell how far it is, and
    /// ``waitForSync(timeout:)`` waits for its end; ``syncError`` is then what went wrong.
    ///
    /// - Returns: the run; cancel it to stop. Throws as ``sync(sourceScans:)``.
    /// - Throws: `invalidArgument` while a run is at work.
    @discardableResult
    public func syncInBackground(sourceScans: [String] = []) throws(DatabaseError) -> Task<
        SyncReport, any Error
    > {
        let task = try start(sourceScans)
        return Task {
            try await withTaskCancellationHandler {
                try await task.value.get()
            } onCancel: {
                task.cancel()
            }
        }
    }

    /// Whether a run is at work.
    public var isSynchronizing: Bool { state.withLock { $0.isRunning } }

    /// Percent of the bytes that are published, 0 to 100; 100 only when everything is, without an
    /// error.
    public var syncProgress: Double { state.withLock { $0.progress } }

    /// What went wrong in the last run; nil: nothing, or none has ended.
    public var syncError: DatabaseError? { state.withLock { $0.error } }

    /// Everything that the last run did; nil: none has ended.
    public var report: SyncReport? { state.withLock { $0.report } }

    /// The progress of the run at work, or of the next one, until its end. Who reads slowly gets the
    /// latest.
    public var progressUpdates: AsyncStream<SyncProgress> {
        let (stream, continuation) = AsyncStream<SyncProgress>.makeStream(
            bufferingPolicy: .bufferingNewest(1))
        state.withLock { $0.listeners.append(continuation) }
        return stream
    }

    /// Waits for the end of the run at work.
    ///
    /// - Parameter timeout: nil: for as long as it takes.
    /// - Returns: whether no run is at work any more; ``syncError`` says how it ended.
    public func waitForSync(timeout: Duration? = nil) async -> Bool {
        guard let task = state.withLock({ $0.isRunning ? $0.task : nil }) else { return true }
        guard let timeout else {
            _ = await task.value
            return true
        }
        return await withCheckedContinuation { continuation in
            let first = Mutex(Optional(continuation))
            let answer: @Sendable (Bool) -> Void = { isOver in
                first.withLock { continuation in
                    defer { continuation = nil }
                    return continuation
                }?.resume(returning: isOver)
            }
            Task {
                _ = await task.value
                answer(true)
            }
            Task {
                // Nobody cancels this task, and sleeping fails for no other reason.
                try? await Task.sleep(for: timeout)
                answer(false)
            }
        }
    }

    // MARK: Locking

    /// Locks both databases, the source against writers and the target against everybody, until
    /// ``unlock()``: for several runs in a row. A run locks by itself where this was not called.
    /// Does nothing if they are locked.
    ///
    /// - Throws: `locked`, naming who holds which; what opening a database throws.
    public func lock() async throws(DatabaseError) {
        try claim("lock the databases")
        let outcome: Result<OpenSides?, DatabaseError>
        do throws(DatabaseError) {
            outcome = .success(try await state.withLock({ $0.held == nil }) ? openLocked() : nil)
        } catch { outcome = .failure(error) }
        state.withLock { state in
            if case .success(let sides?) = outcome { state.held = sides }
            state.isRunning = false
        }
        _ = try outcome.get()
    }

    private func openLocked() async throws(DatabaseError) -> OpenSides {
        var sides = try await open()
        do throws(DatabaseError) {
            try await sides.lock(locksSource: options.locksSource, wait: options.lockWait)
            return sides
        } catch {
            try await sides.close()
            throw error
        }
    }

    /// Gives up what ``lock()`` took. Does nothing if it was not called.
    ///
    /// - Throws: `invalidArgument` while a run is at work; `locked` if somebody else took the
    ///   database of an `FSDB` meanwhile.
    public func unlock() async throws(DatabaseError) {
        let held = try state.withLock { (state) throws(DatabaseError) in
            guard !state.isRunning else { throw Self.busy("unlock the databases") }
            defer { state.held = nil }
            return state.held
        }
        try await held?.close()
    }

    // MARK: Credentials

    /// The user and password for the SSH locations at a host, unless they name another user. Keys and agents
    /// need none.
    ///
    /// - Parameters:
    ///   - password: nil: it is asked for at the terminal, now.
    ///   - askpassProgram: the program that ssh starts to be told the password (`SSH_ASKPASS`); nil:
    ///     the command `plantdb`, beside this program or on the PATH. A program that begins with
    ///     `if AskpassHelper.isWanted { exit(AskpassHelper.run(prompt: CommandLine.arguments[1])) }`
    ///     can name itself.
    /// - Throws: `authentication` without a terminal to ask at.
    public func setSSHCredentials(
        host: String, username: String, password: String? = nil, askpassProgram: String? = nil
    ) throws(DatabaseError) {
        let secret =
            if let password { Secret(password) } else { try SSHCredentials.ask(username, host) }
        let credentials = SSHCredentials(host: host, username: username, password: secret)
        state.withLock { $0.credentials[host.lowercased()] = (credentials, askpassProgram) }
    }

    /// What ``setSSHCredentials(host:username:password:askpassProgram:)`` was told, by host.
    public var sshCredentials: [String: SSHCredentials] {
        state.withLock { $0.credentials.mapValues(\.credentials) }
    }

    private func access(to side: SyncSide, _ access: RemoteAccess) throws(DatabaseError) -> RemoteAccess {
        guard let destination = sshDestination(of: side.location),
            let known = state.withLock({ $0.credentials[destination.host.lowercased()] }),
            // Somebody else's account is not tried with this password.
            destination.user == nil || destination.user == known.credentials.username
        else { return access }
        return try access.adding(known.credentials, program: known.program)
    }

    // MARK: One run

    private static func busy(_ what: String) -> DatabaseError {
        DatabaseError(
            .invalidArgument,
            "cannot \(what): a synchronisation is at work; wait for it with waitForSync(), or cancel it")
    }

    private func claim(_ what: String) throws(DatabaseError) {
        try state.withLock { (state) throws(DatabaseError) in
            guard !state.isRunning else { throw Self.busy(what) }
            state.isRunning = true
        }
    }

    private func open() async throws(DatabaseError) -> OpenSides {
        try await OpenSides.open(
            source, access(to: source, access.source), target, access(to: target, access.target))
    }

    private func start(_ sourceScans: [String]) throws(DatabaseError) -> Task<
        Result<SyncReport, DatabaseError>, Never
    > {
        try state.withLock { (state) throws(DatabaseError) in
            guard !state.isRunning else { throw Self.busy("start") }
            state.isRunning = true
            state.progress = 0
            state.error = nil
            state.report = nil
            let held = state.held
            let task = Task { await run(sourceScans, held) }
            state.task = task
            return task
        }
    }

    private func run(_ sourceScans: [String], _ held: OpenSides?) async -> Result<SyncReport, DatabaseError> {
        var report = SyncReport(runID: .make())
        do throws(DatabaseError) {
            let sides: OpenSides
            if let held { sides = held } else { sides = try await open() }
            var options = options
            options.selection.scans = sourceScans
            options.locking = sides.locking
            let engine = SyncEngine(source: sides.source, target: sides.target, options: options)
            report = await engine.run(runID: report.runID) { event in
                if case .progress(let progress) = event { self.tell(progress) }
            }
            if held == nil { try await sides.close() }
        } catch { report.error = report.error ?? error }
        let error = report.errors.first
        let listeners = state.withLock { state in
            state.isRunning = false
            state.error = error
            state.report = report
            if error == nil { state.progress = 100 }
            defer { state.listeners = [] }
            return state.listeners
        }
        for listener in listeners { listener.finish() }
        if let error { return .failure(error) }
        return .success(report)
    }

    private func tell(_ progress: SyncProgress) {
        let listeners = state.withLock { state in
            // All of it only once the run has ended, and well.
            state.progress = min(99.9, progress.fractionPublished * 100)
            return state.listeners
        }
        for listener in listeners { listener.yield(progress) }
    }
}

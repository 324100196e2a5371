import Foundation
import PlantDBClient
import PlantDBCore
import PlantDBSync
import SFTPClient
import SyncEngine

/// What the pages work on: databases that were tested, how two of them compare, and the jobs between them. It
/// outlives the pages.
///
/// Pages share nothing but the jobs. A tested database and a comparison never change, and have a name that
/// nothing else ever has, also not in the next process; a page says it with every call. So a page cannot start
/// what another one chose, or what it showed before.
actor Workspace {
    let jobs: JobQueue
    private let configuration: AppConfiguration
    private var databases = RecentItems<Tested>(limit: 64)
    private var pairs = RecentItems<Pair>(limit: 8)

    private struct Tested {
        var side: SideName
        var place: JobQueue.Place
        var facts: SideFacts
    }

    /// Two databases that are compared or will be, and what became of it.
    private struct Pair {
        var message: CompareMessage
        var source: Tested
        var target: Tested
        var task: Task<Void, Never>
        var result: Result<Compared, DatabaseError>?
        /// By scan, for its row.
        var details: [String: ScanDetails] = [:]
    }

    private struct Compared: Sendable {
        var comparison: Comparison
        var source: any DatabaseEndpoint
        var target: any DatabaseEndpoint
        var facts: (source: SideFacts, target: SideFacts)

        func close() async {
            await target.close()
            await source.close()
        }
    }

    init(_ configuration: AppConfiguration) {
        self.configuration = configuration
        jobs = JobQueue(keep: configuration.keep)
    }

    // MARK: Connecting

    /// Looks behind a location, and remembers how it is reached.
    func connect(_ message: ConnectMessage) async throws(DatabaseError) -> TestedMessage {
        var place = try place(of: message)
        let endpoint = try await Self.open(place, as: message.side)
        let facts: SideFacts
        do throws(DatabaseError) { facts = try await Self.facts(of: endpoint) } catch {
            await endpoint.close()
            throw error
        }
        await endpoint.close()
        place.shown = facts.location
        let id = UUID().uuidString
        databases.add(Tested(side: message.side, place: place, facts: facts), as: id)
        return TestedMessage(database: id, facts: facts)
    }

    private func place(of message: ConnectMessage) throws(DatabaseError) -> JobQueue.Place {
        let place = try configuration.place(message.location.trimmingCharacters(in: .whitespaces))
        var access = place.access
        if message.acceptNewHostKey ?? false { access.acceptsNewHostKey = true }
        if let user = message.user, !user.isEmpty { access.user = user }
        if let identity = message.identity, !identity.isEmpty { access.identity = identity }
        if let token = message.token, !token.isEmpty { access.token = BearerToken(token) }
        if let password = message.password, !password.isEmpty {
            guard let program = configuration.askpassProgram else {
                throw DatabaseError(.unsupported, "passwords for SSH cannot be handed to ssh here; use a key")
            }
            do throws(SFTPError) {
                access.askpass = try AskpassServer(Secret(password), program: program)
            } catch { throw DatabaseError(.io, "cannot hand the password to ssh", cause: error.message) }
        }
        return JobQueue.Place(location: place.location, access: access, shown: "")
    }

    private static func open(_ place: JobQueue.Place, as side: SideName) async throws(DatabaseError)
        -> any DatabaseEndpoint
    {
        try await openDatabase(place.location, as: side == .source ? .source : .target, access: place.access)
    }

    /// What was found when it was tested, for a page that was loaded anew.
    func tested(_ id: String) throws(DatabaseError) -> TestedMessage {
        guard let tested = databases[id] else { throw Self.outdated }
        return TestedMessage(database: id, facts: tested.facts)
    }

    private static let outdated = DatabaseError(
        .conflict,
        "what this page shows is no longer what the app knows; nothing was done: test both connections again")

    private static func facts(of endpoint: any DatabaseEndpoint) async throws(DatabaseError) -> SideFacts {
        let listing = try await endpoint.listing()
        var facts = SideFacts(
            location: endpoint.location.description,
            scans: listing.scans.reduce(0) { $0 + ($1.kind == .scan ? 1 : 0) }, strays: [], locks: [],
            freeBytes: try await endpoint.availableBytes(), notes: endpoint.capabilities.weakerGuarantees)
        for scan in listing.scans {
            if case .stray(let reason) = scan.kind { facts.strays.append("\(scan.scan): \(reason)") }
        }
        facts.strays += listing.skipped.map { "\($0.path): \($0.detail ?? $0.reason.rawValue)" }
        if let inspecting = endpoint as? any LockInspecting {
            facts.locks = try await inspecting.heldLocks().filter { $0.state == .live }.map {
                "\($0.scope): \($0.owner)"
            }
        }
        return facts
    }

    // MARK: Comparing

    /// Begins to compare; the stream of events tells when it is ready.
    ///
    /// - Returns: the name of the comparison.
    /// - Throws: `conflict` where a database is not, or no longer, known by its name.
    func compare(_ message: CompareMessage) async throws(DatabaseError) -> String {
        guard let source = databases[message.source], let target = databases[message.target],
            source.side == .source, target.side == .target
        else { throw Self.outdated }
        if let old = message.replaces.flatMap({ pairs.remove($0) }) { await Self.close(old) }
        let id = UUID().uuidString
        let task = Task {
            let result: Result<Compared, DatabaseError>
            do throws(DatabaseError) {
                result = .success(try await Self.compare(source, target, message.options))
            } catch { result = .failure(error) }
            await finish(id, result)
        }
        let pair = Pair(message: message, source: source, target: target, task: task)
        if let old = pairs.add(pair, as: id) { await Self.close(old) }
        return id
    }

    private func finish(_ id: String, _ result: Result<Compared, DatabaseError>) async {
        if pairs[id] != nil {
            pairs[id]?.result = result
        } else if case .success(let compared) = result {
            await compared.close()
        }
    }

    private static func close(_ pair: Pair) async {
        pair.task.cancel()
        if case .success(let compared) = pair.result { await compared.close() }
    }

    /// With both opened anew: a database that was made since, or changed, is another than the tested one.
    private static func compare(_ one: Tested, _ two: Tested, _ options: SyncOptions)
        async throws(DatabaseError) -> Compared
    {
        let source = try await open(one.place, as: .source)
        do throws(DatabaseError) {
            let target = try await open(two.place, as: .target)
            do throws(DatabaseError) {
                return Compared(
                    comparison: try await compare(source, target, options), source: source, target: target,
                    facts: (try await facts(of: source), try await facts(of: target)))
            } catch {
                await target.close()
                throw error
            }
        } catch {
            await source.close()
            throw error
        }
    }

    private static func compare(
        _ source: any DatabaseEndpoint, _ target: any DatabaseEndpoint, _ options: SyncOptions
    ) async throws(DatabaseError) -> Comparison {
        let plan = try await SyncEngine(
            source: source, target: target, options: options,
            memory: JobQueue.memory(from: source, to: target, creates: false)
        ).plan()
        let ours = Set(try await source.listing().scans.map(\.scan))
        let targetOnly = try await target.listing().scans.filter {
            if case .stray = $0.kind { return false }
            return !ours.contains($0.scan)
        }
        var locked: [ScanID: String] = [:]
        for endpoint in [source, target] {
            guard let inspecting = endpoint as? any LockInspecting else { continue }
            for lock in try await inspecting.heldLocks() where lock.state == .live {
                if case .scan(let scan) = lock.scope { locked[scan] = lock.owner }
            }
        }
        return Comparison(plan, targetOnly: targetOnly.map(\.scan), locked: locked)
    }

    private func compared(_ id: String) throws(DatabaseError) -> Compared {
        guard let result = pairs[id]?.result else { throw Self.outdated }
        return try result.get()
    }

    func comparison(_ id: String) throws(DatabaseError) -> ComparisonMessage {
        let compared = try compared(id)
        return ComparisonMessage(
            source: compared.facts.source, target: compared.facts.target, rows: compared.comparison.rows)
    }

    func files(of scan: String, in id: String) throws(DatabaseError) -> (rows: [PlanRow], count: Int) {
        try compared(id).comparison.files(of: scan)
    }

    // MARK: Looking at scans

    /// Of scans whose rows are on the screen. Reads their listings and metadata.
    func details(of scans: [String], in id: String) async throws(DatabaseError) -> [ScanDetails] {
        let compared = try compared(id)
        var result: [ScanDetails] = []
        for name in scans.prefix(60) {
            if let known = pairs[id]?.details[name] {
                result.append(known)
                continue
            }
            guard let (endpoint, manifest) = try await Self.manifest(of: name, in: compared) else { continue }
            var metadata: JSONValue?
            if let bytes = try await endpoint.contents(of: .scanMetadata, in: manifest, limit: 1 << 20) {
                // What is no JSON says nothing of the species; `plantdb check` names it.
                do throws(DatabaseError) { metadata = try JSONValue(parsing: bytes) } catch {}
            }
            let found = ScanDetails(
                scan: name, files: manifest.fileCount, bytes: manifest.byteCount,
                modified: manifest.compactMap { $0.kind == .file ? $0.modified?.seconds : nil }.max(),
                species: metadata?.metadataValue(atDottedKey: "object.species"),
                hasImage: Self.firstImage(of: manifest) != nil)
            pairs[id]?.details[name] = found
            result.append(found)
        }
        return result
    }

    /// The first image of a scan, and its media type.
    func thumbnail(of scan: String, in id: String) async throws(DatabaseError) -> (
        bytes: [UInt8], type: String
    )? {
        guard let (endpoint, manifest) = try await Self.manifest(of: scan, in: try compared(id)),
            let image = Self.firstImage(of: manifest),
            let bytes = try await endpoint.contents(of: image.path, in: manifest, limit: 32 << 20)
        else { return nil }
        return (bytes, image.type)
    }

    private static func manifest(of name: String, in compared: Compared) async throws(DatabaseError) -> (
        any DatabaseEndpoint, ScanManifest
    )? {
        let scan = try ScanID(name)
        for endpoint in [compared.source, compared.target] {
            if let manifest = try await endpoint.manifest(of: scan, detail: .listing) {
                return (endpoint, manifest)
            }
        }
        return nil
    }

    private static func firstImage(of manifest: ScanManifest) -> (path: ScanPath, type: String)? {
        for entry in manifest where entry.kind == .file && entry.path.rawValue.hasPrefix("images/") {
            let name = entry.path.rawValue.lowercased()
            if name.hasSuffix(".jpg") || name.hasSuffix(".jpeg") { return (entry.path, "image/jpeg") }
            if name.hasSuffix(".png") { return (entry.path, "image/png") }
        }
        return nil
    }

    // MARK: Jobs

    /// - Throws: `conflict` for anything but a comparison that is ready, and for deletions that it did not
    ///   show.
    func start(_ message: JobMessage) throws(DatabaseError) -> String {
        guard let pair = pairs[message.comparison], case .success = pair.result,
            message.deleteFiles == nil || pair.message.delete
        else { throw Self.outdated }
        return jobs.add(
            message.options(comparing: pair.message), from: pair.source.place, to: pair.target.place)
    }

    /// - Parameter version: of the jobs, as the last update said.
    func update(since version: Int) -> (update: Update, version: Int) {
        let (changes, now) = jobs.changes(since: version)
        let comparisons = pairs.all.mapValues { pair in
            var state = Update.ComparisonState(isReady: false)
            switch pair.result {
            case .success: state.isReady = true
            case .failure(let error): state.error = error.description
            case nil: break
            }
            return state
        }
        return (Update(comparisons: comparisons, jobs: changes), now)
    }

    /// Stops everything.
    func close() async {
        let open = pairs.removeAll()
        for pair in open { pair.task.cancel() }
        await jobs.stop()
        for pair in open {
            await pair.task.value
            await Self.close(pair)
        }
    }
}

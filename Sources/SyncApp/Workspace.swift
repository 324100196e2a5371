import Foundation
import PlantDBClient
import PlantDBCore
import PlantDBSync
import SFTPClient
import SyncEngine

/// What the page works on: two databases, how they compare, and the jobs between them. It outlives
/// the page.
actor Workspace {
    let jobs: JobQueue
    private let configuration: AppConfiguration
    private var sides: [SideName: (place: JobQueue.Place, endpoint: any DatabaseEndpoint, facts: SideFacts)] =
        [:]
    private var comparison: Comparison?
    private var comparisonVersion = 0
    private var comparisonError: String?
    private var comparing: Task<Void, Never>?
    private var details: [String: ScanDetails] = [:]

    init(_ configuration: AppConfiguration) {
        self.configuration = configuration
        jobs = JobQueue(keep: configuration.keep)
    }

    // MARK: Connecting

    /// Looks behind a location, and keeps it open as that side.
    func connect(_ message: ConnectMessage) async throws(DatabaseError) -> SideFacts {
        let place = try configuration.place(message.location.trimmingCharacters(in: .whitespaces))
        let location = place.location
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
        let endpoint = try await openDatabase(
            location, as: message.side == .source ? .source : .target, access: access)
        do throws(DatabaseError) {
            let facts = try await Self.facts(of: endpoint)
            await drop(message.side)
            sides[message.side] = (
                JobQueue.Place(location: location, access: access, shown: facts.location), endpoint, facts
            )
            return facts
        } catch {
            await endpoint.close()
            throw error
        }
    }

    private func drop(_ side: SideName) async {
        comparing?.cancel()
        comparison = nil
        comparisonError = nil
        details = [:]
        comparisonVersion += 1
        if let old = sides.removeValue(forKey: side) { await old.endpoint.close() }
    }

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

    private func both() throws(DatabaseError) -> (
        source: (place: JobQueue.Place, endpoint: any DatabaseEndpoint, facts: SideFacts),
        target: (place: JobQueue.Place, endpoint: any DatabaseEndpoint, facts: SideFacts)
    ) {
        guard let source = sides[.source], let target = sides[.target] else {
            throw DatabaseError(.invalidArgument, "choose a source and a target, and test both, first")
        }
        return (source, target)
    }

    // MARK: Comparing

    /// Begins to compare; the stream of events tells when it is ready.
    func compare(_ message: CompareMessage) throws(DatabaseError) {
        let (source, target) = try both()
        comparing?.cancel()
        comparisonError = nil
        let previous = comparing
        comparing = Task {
            await previous?.value
            let result: Result<Comparison, DatabaseError>
            do throws(DatabaseError) {
                // A database that was made since, or changed, is another than the one that was opened.
                let source = try await reopened(.source, source.place)
                let target = try await reopened(.target, target.place)
                result = .success(try await Self.compare(source, target, message.options))
            } catch { result = .failure(error) }
            finishComparing(result)
        }
    }

    private func reopened(_ side: SideName, _ place: JobQueue.Place) async throws(DatabaseError)
        -> any DatabaseEndpoint
    {
        let endpoint = try await openDatabase(
            place.location, as: side == .source ? .source : .target, access: place.access)
        do throws(DatabaseError) {
            let facts = try await Self.facts(of: endpoint)
            try DatabaseError.checkCancellation(while: "comparing")
            let old = sides.updateValue((place, endpoint, facts), forKey: side)
            await old?.endpoint.close()
            return endpoint
        } catch {
            await endpoint.close()
            throw error
        }
    }

    private func finishComparing(_ result: Result<Comparison, DatabaseError>) {
        guard !Task.isCancelled else { return }
        comparing = nil
        details = [:]
        comparisonVersion += 1
        switch result {
        case .success(let comparison): self.comparison = comparison
        case .failure(let error):
            comparison = nil
            comparisonError = error.description
        }
    }

    private static func compare(
        _ source: any DatabaseEndpoint, _ target: any DatabaseEndpoint, _ options: SyncOptions
    ) async throws(DatabaseError) -> Comparison {
        let plan = try await SyncEngine(source: source, target: target, options: options).plan()
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

    private func current() throws(DatabaseError) -> Comparison {
        guard let comparison else {
            throw DatabaseError(.notFound, "the two databases have not been compared yet")
        }
        return comparison
    }

    func rows() throws(DatabaseError) -> [ComparisonRow] { try current().rows }

    func files(of scan: String) throws(DatabaseError) -> (rows: [PlanRow], count: Int) {
        try current().files(of: scan)
    }

    // MARK: Looking at scans

    /// Of scans whose rows are on the screen. Reads their listings and metadata.
    func details(of scans: [String]) async throws(DatabaseError) -> [ScanDetails] {
        var result: [ScanDetails] = []
        for name in scans.prefix(60) {
            if let known = details[name] {
                result.append(known)
                continue
            }
            guard let (endpoint, manifest) = try await manifest(of: name) else { continue }
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
            details[name] = found
            result.append(found)
        }
        return result
    }

    /// The first image of a scan, and its media type.
    func thumbnail(of scan: String) async throws(DatabaseError) -> (bytes: [UInt8], type: String)? {
        guard let (endpoint, manifest) = try await manifest(of: scan),
            let image = Self.firstImage(of: manifest),
            let bytes = try await endpoint.contents(of: image.path, in: manifest, limit: 32 << 20)
        else { return nil }
        return (bytes, image.type)
    }

    private func manifest(of name: String) async throws(DatabaseError) -> (
        any DatabaseEndpoint, ScanManifest
    )? {
        let scan = try ScanID(name)
        for side in SideName.allCases {
            guard let endpoint = sides[side]?.endpoint else { continue }
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

    func start(_ message: JobMessage) throws(DatabaseError) -> String {
        let (source, target) = try both()
        return jobs.add(message.options, from: source.place, to: target.place)
    }

    /// - Parameter version: of the jobs, as the last update said.
    func update(since version: Int) -> (update: Update, version: Int) {
        let (changes, now) = jobs.changes(since: version)
        return (
            Update(
                comparison: comparisonVersion, isComparing: comparing != nil,
                comparisonError: comparisonError,
                sides: Dictionary(uniqueKeysWithValues: sides.map { ($0.key.rawValue, $0.value.facts) }),
                jobs: changes), now
        )
    }

    /// Stops everything.
    func close() async {
        comparing?.cancel()
        await jobs.stop()
        for side in SideName.allCases { await drop(side) }
    }
}

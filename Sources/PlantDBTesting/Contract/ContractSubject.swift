import NIOCore
import PlantDBCore
import Synchronization

/// The endpoint that a check looks at, and the words in which checks are written.
final class ContractSubject: Sendable {
    let fixture: any ContractFixture
    let endpoint: any DatabaseEndpoint
    private let others = Mutex<[any DatabaseEndpoint]>([])

    init(fixture: any ContractFixture, endpoint: any DatabaseEndpoint) {
        self.fixture = fixture
        self.endpoint = endpoint
    }

    /// Another connection to the same database.
    func another() async throws -> any DatabaseEndpoint {
        let other = try await fixture.connect()
        others.withLock { $0.append(other) }
        return other
    }

    func close() async {
        await endpoint.close()
        for other in others.withLock({ $0 }) { await other.close() }
    }

    func tamper(with scan: ScanID, _ tree: SampleTree?) async throws {
        guard try await fixture.tamper(with: scan, tree) else {
            throw ContractNotApplicable(reason: "the fixture cannot change the database from outside")
        }
    }

    // MARK: Doing

    /// Publishes a tree as a new scan, or over an old one; returns its revision then.
    @discardableResult
    func publish(
        _ tree: SampleTree, as scan: ScanID, replacing base: ScanRevision? = nil,
        removing removed: [ScanPath] = [], options: TransactionOptions = TransactionOptions(),
        through endpoint: (any DatabaseEndpoint)? = nil
    ) async throws -> ScanRevision {
        let endpoint = endpoint ?? self.endpoint
        let transaction = try await endpoint.beginTransaction(on: scan, replacing: base, options: options)
        do {
            _ = try await transaction.receive(tree.parts(chunk: 1000), meter: ByteMeter())
            if !removed.isEmpty { try await transaction.remove(removed) }
            try await transaction.commit()
        } catch {
            await transaction.abort()
            throw error
        }
        return try await revision(of: scan)
    }

    func revision(of scan: ScanID) async throws -> ScanRevision { try await manifest(of: scan).revision }

    func manifest(of scan: ScanID, _ detail: ManifestDetail = .listing) async throws -> ScanManifest {
        guard let manifest = try await endpoint.manifest(of: scan, detail: detail) else {
            throw ContractViolation(message: "scan \(scan) is not there", file: #fileID, line: #line)
        }
        return manifest
    }

    /// Reads a scan whole.
    func read(_ scan: ScanID, through other: (any DatabaseEndpoint)? = nil) async throws -> SampleTree {
        let endpoint = other ?? self.endpoint
        guard let manifest = try await endpoint.manifest(of: scan, detail: .listing) else {
            throw ContractViolation(message: "scan \(scan) is not there", file: #fileID, line: #line)
        }
        let stream = try await endpoint.parts(of: EntrySelection(all: manifest))
        return try await SampleTree(collecting: stream)
    }

    /// Begins a transaction, lets `body` use it, and aborts it in the end.
    func transaction<Answer>(
        on scan: ScanID, replacing base: ScanRevision? = nil,
        options: TransactionOptions = TransactionOptions(),
        _ body: (any ScanTransaction) async throws -> Answer
    ) async throws -> Answer {
        let transaction = try await endpoint.beginTransaction(on: scan, replacing: base, options: options)
        do {
            let answer = try await body(transaction)
            await transaction.abort()
            return answer
        } catch {
            await transaction.abort()
            throw error
        }
    }

    // MARK: Looking

    func expect(
        _ condition: Bool, _ message: @autoclosure () -> String, file: String = #fileID, line: Int = #line
    ) throws {
        if !condition { throw ContractViolation(message: message(), file: file, line: line) }
    }

    /// - Returns: the error, which has one of the codes.
    @discardableResult
    func expectError<Answer>(
        _ codes: DatabaseError.Code..., when what: String, file: String = #fileID, line: Int = #line,
        _ body: () async throws -> Answer
    ) async throws -> DatabaseError {
        do {
            _ = try await body()
        } catch let error as DatabaseError {
            try expect(
                codes.contains(error.code),
                "\(what): \(codes.map(\.rawValue)) expected, \(error.code.rawValue) thrown: \(error)",
                file: file, line: line)
            return error
        }
        throw ContractViolation(
            message: "\(what): \(codes.map(\.rawValue)) expected, nothing was thrown", file: file, line: line)
    }

    /// That `scan` holds exactly `tree`, as precisely as the endpoint keeps it.
    func expect(
        _ scan: ScanID, holds tree: SampleTree, through other: (any DatabaseEndpoint)? = nil,
        file: String = #fileID, line: Int = #line
    ) async throws {
        let found = try await read(scan, through: other)
        let traits = fixture.traits
        let precision = endpoint.capabilities.timePrecisionNanoseconds
        let wanted = tree.nodes.filter { $0.value.kind == .file || traits.keepsEmptyDirectories }
        let extra = found.nodes.keys.filter { wanted[$0] == nil }.sorted()
        try expect(extra.isEmpty, "scan \(scan) holds too much: \(extra)", file: file, line: line)
        for (path, node) in wanted {
            guard let other = found[path] else {
                throw ContractViolation(message: "\(path) is missing in \(scan)", file: file, line: line)
            }
            try expect(other.kind == node.kind, "\(path) is a \(other.kind)", file: file, line: line)
            try expect(other.content == node.content, "\(path) has other bytes", file: file, line: line)
            guard node.kind == .file else { continue }
            try expect(
                other.modified.floored(to: precision) == node.modified.floored(to: precision),
                "\(path) has the time \(other.modified.nanoseconds), not \(node.modified.nanoseconds)",
                file: file, line: line)
            guard traits.keepsModes else { continue }
            try expect(
                other.mode == node.mode,
                "\(path) has the mode \(String(other.mode, radix: 8)), not \(String(node.mode, radix: 8))",
                file: file, line: line)
        }
    }

    func expectAbsent(_ scan: ScanID, file: String = #fileID, line: Int = #line) async throws {
        let listed = try await endpoint.listing().scans.map(\.scan)
        try expect(!listed.contains(scan), "scan \(scan) is listed", file: file, line: line)
        let manifest = try await endpoint.manifest(of: scan, detail: .listing)
        try expect(manifest == nil, "scan \(scan) has a manifest", file: file, line: line)
    }

    /// The scans of a listing, strays left out.
    func listedScans() async throws -> [ScanID] {
        try await endpoint.listing().scans.filter { summary in
            switch summary.kind {
            case .scan, .timelapse: true
            case .stray: false
            }
        }.map(\.scan)
    }
}

extension SampleTree {
    /// Reads a stream of parts to its end.
    ///
    /// Times that a peer does not tell become ``time``, modes 0644 and 0755.
    /// - Throws: what the stream throws; ``DatabaseError/Code/invalidData`` if the parts come
    ///   out of order.
    public init(collecting stream: ScanPartStream) async throws(DatabaseError) {
        self.init()
        var current: (entry: FileEntry, content: [UInt8])?
        var iterator = stream.makeAsyncIterator()
        while let part = try await iterator.next() {
            switch (part, current) {
            case (.begin(let entry), nil): current = (entry, [])
            case (.bytes(let buffer), .some): current?.content.append(contentsOf: buffer.readableBytesView)
            case (.end, let (entry, content)?):
                set(
                    entry.path,
                    Node(
                        kind: entry.kind, content: content, modified: entry.modified ?? Self.time,
                        mode: entry.mode ?? (entry.kind == .file ? 0o644 : 0o755)))
                current = nil
            default: throw DatabaseError(.invalidData, "parts came out of order")
            }
        }
        if let (entry, _) = current {
            throw DatabaseError(.invalidData, "the stream ended in \(entry.path)", path: entry.path.rawValue)
        }
    }
}

import PlantDBCore

/// What a server says of itself.
public struct PeerHello: Sendable, Equatable {
    public var protocolVersion: Int
    /// Of the program.
    public var version: String
    /// Identifies the database, so that source and target can be told apart; nothing else is
    /// to be read from it.
    public var identity: String?
    public var capabilities: EndpointCapabilities
    /// Whether the caller may write.
    public var mayWrite: Bool

    public init(
        protocolVersion: Int = PeerProtocol.version, version: String, identity: String?,
        capabilities: EndpointCapabilities, mayWrite: Bool
    ) {
        self.protocolVersion = protocolVersion
        self.version = version
        self.identity = identity
        self.capabilities = capabilities
        self.mayWrite = mayWrite
    }

    public func encoded() -> [UInt8] {
        let writes: String =
            switch capabilities.writes {
            case .none: "none"
            case .newScans: "newScans"
            case .files: "files"
            }
        var object = JSONObject([
            ("program", .string("plantdb-swift")), ("protocol", .number(protocolVersion)),
            ("version", .string(version)), ("writes", .string(writes)), ("mayWrite", .bool(mayWrite)),
            ("removes", .bool(capabilities.removes)),
            ("keepsEmptyDirectories", .bool(capabilities.keepsEmptyDirectories)),
            ("earliestNanosecond", .number(Int(capabilities.times.lowerBound.nanoseconds))),
            ("latestNanosecond", .number(Int(capabilities.times.upperBound.nanoseconds))),
            ("provesDigests", .bool(capabilities.provesDigests)),
            ("timePrecisionNanoseconds", .number(Int(capabilities.timePrecisionNanoseconds))),
            ("concurrentScans", .number(capabilities.concurrentScans.upperBound)),
            ("weakerGuarantees", .array(capabilities.weakerGuarantees.map(JSONValue.string))),
        ])
        if let identity { object["identity"] = .string(identity) }
        return JSONValue.object(object).pythonBytes()
    }

    /// - Throws: `unsupported` for another version of the protocol; `invalidData`.
    public init(parsing bytes: [UInt8]) throws(DatabaseError) {
        let value = try JSONValue(parsing: bytes)
        guard value["program"]?.string == "plantdb-swift", let number = value["protocol"]?.int,
            let version = value["version"]?.string
        else { throw DatabaseError(.invalidData, "the server is no plantdb serve") }
        guard number == PeerProtocol.version else {
            throw DatabaseError(
                .unsupported,
                "the server (plantdb \(version.printable)) speaks version \(number) of the protocol, and "
                    + "this plantdb version \(PeerProtocol.version): bring both to the same release")
        }
        guard let writesText = value["writes"]?.string,
            let writes = ["none": .none, "newScans": .newScans, "files": .files][writesText]
                as EndpointCapabilities.Writes?,
            let provesDigests = value["provesDigests"]?.bool, let mayWrite = value["mayWrite"]?.bool,
            let precision = value["timePrecisionNanoseconds"]?.int, precision >= 1,
            let concurrent = value["concurrentScans"]?.int, let removes = value["removes"]?.bool,
            let keepsEmptyDirectories = value["keepsEmptyDirectories"]?.bool,
            let earliest = value["earliestNanosecond"]?.int, let latest = value["latestNanosecond"]?.int,
            earliest <= latest
        else { throw DatabaseError(.invalidData, "the server does not say what it can do") }
        self.init(
            protocolVersion: number, version: version.printable, identity: value["identity"]?.string,
            capabilities: EndpointCapabilities(
                writes: writes, removes: removes, keepsEmptyDirectories: keepsEmptyDirectories,
                provesDigests: provesDigests, timePrecisionNanoseconds: Int64(precision),
                times: ModificationTime(
                    nanoseconds: Int64(earliest))...ModificationTime(nanoseconds: Int64(latest)),
                concurrentScans: 1...min(max(concurrent, 1), 16),
                weakerGuarantees: (value["weakerGuarantees"]?.array ?? []).compactMap { $0.string?.printable }
            ),
            mayWrite: mayWrite)
    }
}

/// All scans of a database.
public enum PeerListing {
    public static func encoded(_ listing: DatabaseListing) -> [UInt8] {
        let scans = listing.scans.map { summary -> JSONValue in
            switch summary.kind {
            case .scan: ["id": .string(summary.scan.rawValue), "kind": "scan"]
            case .timelapse: ["id": .string(summary.scan.rawValue), "kind": "timelapse"]
            case .stray(let reason):
                ["id": .string(summary.scan.rawValue), "kind": "stray", "reason": .string(reason)]
            }
        }
        return JSONValue.object(
            JSONObject([
                ("scans", .array(scans)), ("skipped", .array(listing.skipped.map(PeerJSON.skipped))),
            ])
        ).pythonBytes()
    }

    public static func parse(_ bytes: [UInt8]) throws(DatabaseError) -> DatabaseListing {
        let value = try JSONValue(parsing: bytes)
        guard let scans = value["scans"]?.array, let skipped = value["skipped"]?.array else {
            throw PeerFrameDecoder.invalid("a list without scans")
        }
        return DatabaseListing(
            scans: try scans.map { (item) throws(DatabaseError) in
                guard let id = item["id"]?.string, let kind = item["kind"]?.string else {
                    throw PeerFrameDecoder.invalid("a scan without its name")
                }
                let scan = try ScanID(id)
                switch kind {
                case "scan": return ScanSummary(scan: scan, kind: .scan)
                case "timelapse": return ScanSummary(scan: scan, kind: .timelapse)
                case "stray":
                    let reason = item["reason"]?.string?.printable ?? "no reason given"
                    return ScanSummary(scan: scan, kind: .stray(reason: reason))
                default: throw PeerFrameDecoder.invalid("a scan of the kind \(kind.printable)")
                }
            },
            skipped: try skipped.map { (item) throws(DatabaseError) in try PeerJSON.skipped(item) })
    }
}

/// Files of one scan that are asked for.
public struct PeerReadRequest: Sendable, Equatable {
    public var scan: ScanID
    /// In ascending order. Those that are no longer what is said here are failures.
    public var entries: [FileEntry]
    /// How many bytes of the first entry the caller has already.
    public var offset: Int64

    public init(scan: ScanID, entries: [FileEntry], offset: Int64 = 0) {
        self.scan = scan
        self.entries = entries
        self.offset = offset
    }

    /// Asks for as many of the selected entries, from the one at `first`, as one request may
    /// (``PeerProtocol/readRequestBytes``).
    ///
    /// - Parameter offset: of the first of them.
    public init(_ selection: EntrySelection, from first: Int, offset: Int64 = 0) {
        // With the scan's name around them.
        var bytes = 1024
        // Of JSON a byte of a name takes three at most (`\u00fc` for two), and the rest of an entry some 120.
        let end =
            selection.indices[first...].first { index in
                bytes += 120 + 3 * selection.pathBytes(at: index).count
                return bytes > PeerProtocol.readRequestBytes && index > first
            } ?? selection.endIndex
        self.init(scan: selection.scan, entries: selection[first..<end].map(\.self), offset: offset)
    }

    public func encoded() -> [UInt8] {
        JSONValue.object(
            JSONObject([
                ("scan", .string(scan.rawValue)), ("offset", .number(Int(offset))),
                ("entries", .array(entries.map(PeerEntry.value))),
            ])
        ).pythonBytes()
    }

    public init(parsing bytes: [UInt8]) throws(DatabaseError) {
        let value = try JSONValue(parsing: bytes)
        guard let scan = value["scan"]?.string, let items = value["entries"]?.array,
            let offset = value["offset"]?.int, offset >= 0
        else { throw PeerFrameDecoder.invalid("a request without its entries") }
        self.init(
            scan: try ScanID(scan),
            entries: try items.map { (item) throws(DatabaseError) in try PeerEntry.entry(item) },
            offset: Int64(offset))
    }
}

/// Opens a transaction, or removes a scan.
public struct PeerBegin: Sendable, Equatable {
    public var scan: ScanID
    public var base: ScanRevision?
    public var options: TransactionOptions

    public init(scan: ScanID, base: ScanRevision?, options: TransactionOptions) {
        self.scan = scan
        self.base = base
        self.options = options
    }

    public func encoded() -> [UInt8] {
        var object = JSONObject([
            ("scan", .string(scan.rawValue)), ("durability", .string(options.durability.rawValue)),
            ("verifiesContent", .bool(options.verifiesContent)),
            ("lockWait", .number(options.lockWait / .seconds(1))),
        ])
        if let base { object["base"] = .string(base.rawValue) }
        if let trash = options.trash { object["trash"] = .string(trash) }
        if let displaced = options.displaced { object["displaced"] = .string(displaced.rawValue) }
        // A server of before 0.2 knows no other way than that of the whole, and does not read this.
        if options.locking != .whole { object["locking"] = .string(options.locking.rawValue) }
        return JSONValue.object(object).pythonBytes()
    }

    public init(parsing bytes: [UInt8]) throws(DatabaseError) {
        let value = try JSONValue(parsing: bytes)
        guard let scan = value["scan"]?.string,
            let durability = value["durability"]?.string
                .flatMap(TransactionOptions.Durability.init(rawValue:)),
            let verifies = value["verifiesContent"]?.bool, let wait = value["lockWait"]?.double, wait >= 0
        else { throw PeerFrameDecoder.invalid("a transaction without its scan") }
        let trash = value["trash"]?.string
        // It becomes the name of a directory.
        if let trash { _ = try ScanID(trash) }
        let displaced = value["displaced"]?.string.map(ScanRevision.init(rawValue:))
        guard displaced == nil || trash != nil else {
            throw PeerFrameDecoder.invalid("a scan that is displaced to nowhere")
        }
        let locking = value["locking"]?.string.map(TransactionOptions.Locking.init(rawValue:)) ?? .whole
        guard let locking else {
            throw PeerFrameDecoder.invalid("a transaction that locks in an unknown way")
        }
        self.init(
            scan: try ScanID(scan), base: value["base"]?.string.map(ScanRevision.init(rawValue:)),
            options: TransactionOptions(
                durability: durability, trash: trash, displaced: displaced, locking: locking,
                verifiesContent: verifies,
                lockWait: min(.seconds(min(wait, 1e6)), PeerProtocol.longestWait)))
    }
}

/// A lock that is asked for.
public struct PeerLockRequest: Sendable, Equatable {
    public var scope: LockScope
    public var mode: LockMode
    /// In seconds.
    public var wait: Double

    public init(scope: LockScope, mode: LockMode, wait: Double) {
        self.scope = scope
        self.mode = mode
        self.wait = wait
    }

    public func encoded() -> [UInt8] {
        var object = JSONObject([("mode", .string(mode.rawValue)), ("wait", .number(wait))])
        switch scope {
        case .database: break
        case .scan(let scan): object["scan"] = .string(scan.rawValue)
        // A server of before 0.2 does not read this, and locks the whole database.
        case .run: object["run"] = true
        }
        return JSONValue.object(object).pythonBytes()
    }

    public init(parsing bytes: [UInt8]) throws(DatabaseError) {
        let value = try JSONValue(parsing: bytes)
        guard let mode = value["mode"]?.string.flatMap(LockMode.init(rawValue:)),
            let wait = value["wait"]?.double, wait >= 0, wait.isFinite
        else { throw PeerFrameDecoder.invalid("a lock without its mode") }
        let scan = try value["scan"]?.string.map { (text) throws(DatabaseError) in try ScanID(text) }
        let whole: LockScope = value["run"]?.bool == true ? .run : .database
        self.init(scope: scan.map(LockScope.scan) ?? whole, mode: mode, wait: wait)
    }
}

/// Lists of entries and of paths, for what a transaction removes and sets.
public enum PeerEntry {
    public static func encoded(_ entries: [FileEntry]) -> [UInt8] {
        JSONValue.array(entries.map(value)).pythonBytes()
    }

    public static func parse(_ bytes: [UInt8]) throws(DatabaseError) -> [FileEntry] {
        guard let items = try JSONValue(parsing: bytes).array else {
            throw PeerFrameDecoder.invalid("a list of entries that is none")
        }
        return try items.map { (item) throws(DatabaseError) in try entry(item) }
    }

    public static func encoded(_ paths: [ScanPath]) -> [UInt8] {
        JSONValue.array(paths.map { .string($0.rawValue) }).pythonBytes()
    }

    public static func parsePaths(_ bytes: [UInt8]) throws(DatabaseError) -> [ScanPath] {
        guard let items = try JSONValue(parsing: bytes).array else {
            throw PeerFrameDecoder.invalid("a list of paths that is none")
        }
        return try items.map { (item) throws(DatabaseError) in
            guard let text = item.string else { throw PeerFrameDecoder.invalid("a path that is no text") }
            return try ScanPath(text)
        }
    }

    static func value(_ entry: FileEntry) -> JSONValue {
        var object = JSONObject([
            ("path", .string(entry.path.rawValue)), ("size", .number(Int(entry.size))),
        ])
        if entry.kind == .directory { object["directory"] = true }
        if let modified = entry.modified { object["modified"] = .number(Int(modified.nanoseconds)) }
        if let mode = entry.mode { object["mode"] = .number(Int(mode)) }
        return .object(object)
    }

    static func entry(_ value: JSONValue) throws(DatabaseError) -> FileEntry {
        guard let path = value["path"]?.string, let size = value["size"]?.int, size >= 0 else {
            throw PeerFrameDecoder.invalid("an entry without its path")
        }
        return FileEntry(
            path: try ScanPath(path), kind: value["directory"]?.bool == true ? .directory : .file,
            size: Int64(size),
            modified: value["modified"]?.int.map { ModificationTime(nanoseconds: Int64($0)) },
            mode: value["mode"]?.int.flatMap { UInt16(exactly: $0) })
    }
}

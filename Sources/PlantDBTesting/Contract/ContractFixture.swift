import PlantDBCore

/// One fresh, empty database for one check of the ``EndpointContract``, on whatever kind of
/// location. Whoever writes an endpoint writes one of these, and runs all checks over it.
public protocol ContractFixture: Sendable {
    /// What the kind of location can keep.
    var traits: ContractTraits { get }
    /// A new connection to the database; a check opens several, and closes them.
    func connect() async throws -> any DatabaseEndpoint
    /// Changes the database as somebody else would who knows nothing of endpoints and locks.
    /// Replaces the scan by `tree`, or removes it. False where the fixture cannot do that;
    /// the checks that need it are then left out.
    func tamper(with scan: ScanID, _ tree: SampleTree?) async throws -> Bool
    /// Removes the database.
    func dispose() async throws
}

extension ContractFixture {
    public var traits: ContractTraits { ContractTraits() }
    public func tamper(with scan: ScanID, _ tree: SampleTree?) async throws -> Bool { false }
    public func dispose() async throws {}
}

/// What a kind of location can keep; checks of what it cannot are left out.
public struct ContractTraits: Sendable, Hashable {
    public var keepsModes = true
    public var keepsEmptyDirectories = true
    public var keepsEmptyFiles = true
    /// Names outside ASCII, with spaces and quotes, of 255 bytes, 16 deep.
    public var keepsAllNames = true
    public var hasLocks = true
    /// Locks of single scans, beside that of the database.
    public var hasScanLocks = true
    /// Releases 0.16 and later.
    public var hasTimelapses = true

    public init() {}
}

/// A fixture of a ``MemoryDatabase``.
public struct MemoryFixture: ContractFixture {
    private let database: MemoryDatabase
    private let capabilities: EndpointCapabilities
    private let order: MemoryEndpoint.PartOrder
    private let chunkSize: Int

    public init(
        capabilities: EndpointCapabilities = EndpointCapabilities(),
        order: MemoryEndpoint.PartOrder = .ascending, chunkSize: Int = 1 << 16, foldsNames: Bool = false
    ) {
        database = MemoryDatabase(foldsNames: foldsNames)
        self.capabilities = capabilities
        self.order = order
        self.chunkSize = chunkSize
    }

    public func connect() async throws -> any DatabaseEndpoint {
        MemoryEndpoint(database, capabilities: capabilities, partOrder: order, chunkSize: chunkSize)
    }

    public func tamper(with scan: ScanID, _ tree: SampleTree?) async throws -> Bool {
        database.set(scan, to: tree)
        return true
    }
}

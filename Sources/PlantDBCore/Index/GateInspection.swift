import NIOCore

/// ``OpenabilityGate`` for files that pass by: only those that it has a rule for are held, one at a time.
public struct GateInspection: Sendable {
    private let scan: ScanID
    private var open: (path: ScanPath, bytes: [UInt8])?

    /// Files larger than this pass: no release was seen to write such an index, and to hold it would cost more than
    /// it may. In bytes.
    private static let largest: Int64 = 64 << 20

    public init(scan: ScanID) { self.scan = scan }

    public mutating func begin(_ entry: FileEntry) {
        let isInspected =
            entry.kind == .file && entry.size <= Self.largest && OpenabilityGate.concerns(entry.path)
        open = isInspected ? (entry.path, []) : nil
    }

    public mutating func pass(_ content: ByteBuffer) {
        open?.bytes.append(contentsOf: content.readableBytesView)
    }

    /// - Throws: `invalidData` for a file with which a release of PlantDB could not open the database.
    public mutating func end() throws(DatabaseError) {
        guard let (path, bytes) = open else { return }
        open = nil
        guard let objection = OpenabilityGate.objection(to: path, bytes) else { return }
        throw DatabaseError(
            .invalidData,
            "scan \(scan) is not taken, as a release of PlantDB could not open the database then: \(objection.reason)",
            scan: scan, path: path.rawValue)
    }
}

extension ScanPartStream {
    /// The same stream, which ends with ``GateInspection/end()``'s error where that throws one.
    public func passingGate(of scan: ScanID) -> ScanPartStream {
        let gated = GatedParts(parts: self, inspection: GateInspection(scan: scan))
        return ScanPartStream { () async throws(DatabaseError) in try await gated.next() }
    }
}

/// One task pulls.
private actor GatedParts {
    private let parts: ScanPartStream
    private var inspection: GateInspection
    /// A file has, with the last part.
    private var hasEnded = false

    init(parts: ScanPartStream, inspection: GateInspection) {
        self.parts = parts
        self.inspection = inspection
    }

    func next() async throws(DatabaseError) -> ScanPart? {
        // Only now: whether the file arrived whole is for the receiver to say, and comes first.
        if hasEnded { try inspection.end() }
        // Its iterators share one source, so a new one goes on where the last one was.
        var iterator = parts.makeAsyncIterator()
        let part = try await iterator.next(isolation: self)
        switch part {
        case .begin(let entry): inspection.begin(entry)
        case .bytes(let content): inspection.pass(content)
        case .end, nil: break
        }
        if case .end = part { hasEnded = true } else { hasEnded = false }
        return part
    }
}

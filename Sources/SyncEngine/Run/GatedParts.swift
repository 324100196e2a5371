import NIOCore
import PlantDBCore

/// Looks at metadata in passing, where the source does not show it beforehand: what would keep a
/// release from opening the target ends the stream, so that nothing of the scan is published.
actor GatedParts {
    private let parts: ScanPartStream
    private let scan: ScanID
    private var current: (path: ScanPath, bytes: [UInt8])?

    private init(_ parts: ScanPartStream, scan: ScanID) {
        self.parts = parts
        self.scan = scan
    }

    static func gating(_ parts: ScanPartStream, of scan: ScanID) -> ScanPartStream {
        let gate = GatedParts(parts, scan: scan)
        return ScanPartStream { () async throws(DatabaseError) in try await gate.next() }
    }

    private func next() async throws(DatabaseError) -> ScanPart? {
        // All iterators of a stream pull at one place.
        var iterator = parts.makeAsyncIterator()
        let part = try await iterator.next(isolation: self)
        switch part {
        case .begin(let entry):
            current = entry.kind == .file && OpenabilityGate.concerns(entry.path) ? (entry.path, []) : nil
        case .bytes(let buffer): current?.bytes.append(contentsOf: buffer.readableBytesView)
        case .end, nil:
            if let (path, bytes) = current, let objection = OpenabilityGate.objection(to: path, bytes) {
                throw objection.refusal(of: path, in: scan)
            }
            current = nil
        }
        return part
    }
}

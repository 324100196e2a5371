import NIOCore
import PlantDBCore
import Synchronization

/// A transaction of a ``FaultyEndpoint``, without state of its own. Aborting always works: it
/// is the way out.
struct FaultyTransaction: ScanTransaction {
    private let wrapped: any ScanTransaction
    private let scan: ScanID
    private let endpoint: FaultyEndpoint

    init(_ wrapped: any ScanTransaction, scan: ScanID, endpoint: FaultyEndpoint) {
        self.wrapped = wrapped
        self.scan = scan
        self.endpoint = endpoint
    }

    func receive(_ parts: ScanPartStream, meter: ByteMeter) async throws(DatabaseError) -> ScanManifest {
        try await endpoint.struck(.receive, scan: scan) { (_) async throws(DatabaseError) in
            try await wrapped.receive(parts, meter: meter)
        }
    }

    func remove(_ paths: [ScanPath]) async throws(DatabaseError) {
        try await endpoint.struck(.remove, scan: scan) { (_) async throws(DatabaseError) in
            try await wrapped.remove(paths)
        }
    }

    func setAttributes(_ entries: [FileEntry]) async throws(DatabaseError) {
        try await endpoint.struck(.setAttributes, scan: scan) { (_) async throws(DatabaseError) in
            try await wrapped.setAttributes(entries)
        }
    }

    func commit() async throws(DatabaseError) {
        try await endpoint.struck(.commit, scan: scan) { (_) async throws(DatabaseError) in
            try await wrapped.commit()
        }
    }

    func abort() async { await wrapped.abort() }
}

/// A stream of parts that faults strike.
final class FaultyParts: Sendable {
    private let pull: @Sendable () async throws(DatabaseError) -> ScanPart?
    private let scan: ScanID
    private let schedule: FaultSchedule
    /// Set once the stream has ended early or a byte waits to be corrupted.
    private let state = Mutex((isOver: false, corruptsNext: false))

    init(_ stream: ScanPartStream, scan: ScanID, schedule: FaultSchedule) {
        pull = { () async throws(DatabaseError) in
            // An iterator holds no state of its own: it only calls the stream's source.
            var iterator = stream.makeAsyncIterator()
            return try await iterator.next()
        }
        self.scan = scan
        self.schedule = schedule
    }

    func next() async throws(DatabaseError) -> ScanPart? {
        if state.withLock({ $0.isOver }) { return nil }
        let effect = schedule.call(.part, scan: scan)
        switch effect {
        case .fail(let code): throw FaultSchedule.error(code, at: .part, scan: scan)
        case .stall: try await stallUntilCancelled(while: "waiting for a stalled part")
        case .endEarly:
            state.withLock { $0.isOver = true }
            return nil
        case .corrupt: state.withLock { $0.corruptsNext = true }
        default: break
        }
        guard let part = try await pull() else { return nil }
        if case .failAfterwards(let code) = effect {
            throw FaultSchedule.error(code, at: .part, scan: scan)
        }
        return try passing(part, effect)
    }

    private func passing(_ part: ScanPart, _ effect: FaultPlan.Effect?) throws(DatabaseError) -> ScanPart {
        switch part {
        case .begin(var entry):
            if case .lieAboutSize(let difference) = effect, entry.kind == .file {
                entry.size = max(0, entry.size + difference)
            }
            return .begin(entry)
        case .bytes(var buffer):
            guard schedule.passes(buffer.readableBytes, scan: scan) else {
                throw FaultSchedule.error(.unreachable, at: .part, scan: scan)
            }
            let corrupts = state.withLock { state in
                defer { state.corruptsNext = false }
                return state.corruptsNext
            }
            if corrupts, let byte = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) {
                buffer.setInteger(byte ^ 0x10, at: buffer.readerIndex)
            }
            return .bytes(buffer)
        case .end: return part
        }
    }
}

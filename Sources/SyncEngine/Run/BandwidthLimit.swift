import NIOCore
import PlantDBCore
import Synchronization

/// Holds the content of all streams of a run together to a rate, on the mean.
///
/// A stream is slowed where it is pulled, so nothing is read from the source that may not be sent yet.
/// What was not used in a pause is not made up for by more than ``burst``.
final class BandwidthLimit: Sendable {
    private let nanosecondsPerByte: Double
    /// Content passes in pieces that take about this long, so that a slow limit stays even and a
    /// cancelled run ends soon.
    private let pieceBytes: Int
    /// When the next byte may pass.
    private let due = Mutex<ContinuousClock.Instant?>(nil)

    private static let burst = Duration.milliseconds(200)
    private static let piecesPerSecond = 10

    /// - Parameter bytesPerSecond: at least 1.
    init(bytesPerSecond: Int64) {
        nanosecondsPerByte = 1e9 / Double(max(1, bytesPerSecond))
        pieceBytes = max(1, Int(clamping: bytesPerSecond) / Self.piecesPerSecond)
    }

    /// The same stream, slowed.
    func slow(_ parts: ScanPartStream) -> ScanPartStream {
        let pieces = Pieces(parts, limit: self)
        return ScanPartStream { () async throws(DatabaseError) in try await pieces.next() }
    }

    /// Waits until so many bytes may pass.
    private func admit(_ bytes: Int) async throws(DatabaseError) {
        let wait = due.withLock { due in
            let now = ContinuousClock.now
            let start = max(due ?? now, now - Self.burst)
            due = start + .nanoseconds(Int64(Double(bytes) * nanosecondsPerByte))
            return start - now
        }
        guard wait > .zero else { return }
        do { try await Task.sleep(for: wait) } catch {
            throw DatabaseError(.cancelled, "the run was cancelled")
        }
    }

    /// Pulled by one task at a time, as a stream of parts is.
    private actor Pieces {
        private let parts: ScanPartStream
        private let limit: BandwidthLimit
        private var rest: ByteBuffer?

        init(_ parts: ScanPartStream, limit: BandwidthLimit) {
            self.parts = parts
            self.limit = limit
        }

        func next() async throws(DatabaseError) -> ScanPart? {
            if rest == nil {
                // All iterators of a stream pull at one place.
                var iterator = parts.makeAsyncIterator()
                guard let part = try await iterator.next(isolation: self) else { return nil }
                guard case .bytes(let buffer) = part else { return part }
                rest = buffer
            }
            guard var buffer = rest else { return nil }
            guard let piece = buffer.readSlice(length: min(limit.pieceBytes, buffer.readableBytes)) else {
                return nil
            }
            rest = buffer.readableBytes > 0 ? buffer : nil
            try await limit.admit(piece.readableBytes)
            return .bytes(piece)
        }
    }
}

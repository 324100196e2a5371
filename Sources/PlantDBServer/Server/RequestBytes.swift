import Hummingbird
import NIOCore
import PlantDBCore

/// The body of a request, pulled. `@unchecked`: one task pulls at a time, as
/// ``PlantDBCore/ScanPartStream`` promises.
final class RequestBytes: @unchecked Sendable {
    private var iterator: RequestBody.AsyncIterator

    init(_ body: RequestBody) { iterator = body.makeAsyncIterator() }

    /// - Throws: `invalidData` where it is cut, comes too slowly, or is none as HTTP has it; `cancelled`.
    func next() async throws(DatabaseError) -> ByteBuffer? {
        do { return try await iterator.next() } catch is CancellationError {
            throw DatabaseError(.cancelled, "cancelled while receiving a request")
        } catch {
            throw DatabaseError(
                .invalidData,
                "the body of the request is cut, or is none as HTTP has it; nothing was changed",
                cause: String(describing: error).printable)
        }
    }
}

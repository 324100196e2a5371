import Hummingbird
import NIOCore
import PlantDBCore

/// The body of a request, pulled. `@unchecked`: one task pulls at a time, as
/// ``PlantDBCore/ScanPartStream`` promises.
final class RequestBytes: @unchecked Sendable {
    private var iterator: RequestBody.AsyncIterator

    init(_ body: RequestBody) { iterator = body.makeAsyncIterator() }

    func next() async throws(DatabaseError) -> ByteBuffer? {
        do { return try await iterator.next() } catch { throw .wrapping(error, while: "receiving files") }
    }
}

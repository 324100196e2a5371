import Dispatch

/// Calls that take as long as a piece of a file: a read or a write on this machine's disk.
///
/// On Linux libdispatch's threads are those of async functions too, so what goes on after a piece need not
/// wake another thread: a sixth of the rate of a large file over HTTP. For the same reason nothing may wait
/// here for longer, least of all for another process.
package enum Threads {
    private static let queue = DispatchQueue(label: "PlantDBCore.blocking", attributes: .concurrent)

    package static func run<Value: Sendable>(_ body: @escaping @Sendable () throws(DatabaseError) -> Value)
        async throws(DatabaseError) -> Value
    {
        let result = await withCheckedContinuation { continuation in
            queue.async {
                let result: Result<Value, DatabaseError>
                do throws(DatabaseError) { result = .success(try body()) } catch { result = .failure(error) }
                continuation.resume(returning: result)
            }
        }
        return try result.get()
    }
}

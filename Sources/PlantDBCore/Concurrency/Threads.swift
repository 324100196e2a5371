import Dispatch

/// Calls that block on this machine's disk, off the threads that async functions share.
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

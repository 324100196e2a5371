import Dispatch

/// Calls that block, off the threads that async functions share.
enum Blocking {
    private static let queue = DispatchQueue(label: "SFTPClient.blocking", attributes: .concurrent)

    /// Goes on beside everything else.
    static func start(_ body: @escaping @Sendable () -> Void) { queue.async(execute: body) }

    static func value<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in queue.async { continuation.resume(returning: body()) }
        }
    }

    static func run<Value: Sendable>(_ body: @escaping @Sendable () throws(SFTPError) -> Value)
        async throws(SFTPError) -> Value
    {
        let result = await withCheckedContinuation { continuation in
            queue.async {
                let result: Result<Value, SFTPError>
                do throws(SFTPError) { result = .success(try body()) } catch { result = .failure(error) }
                continuation.resume(returning: result)
            }
        }
        return try result.get()
    }
}

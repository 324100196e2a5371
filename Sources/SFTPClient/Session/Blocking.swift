import Dispatch
import Glibc

/// Calls that wait for another process, each on a thread of its own.
///
/// Not on libdispatch's threads, which on Linux are those of async functions too: there are as many as
/// processors, and when all of them wait, another one is made only up to a second later.
package enum Blocking {
    /// Goes on beside everything else.
    package static func start(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Body(run: body))
        let status = pthread_create(
            &thread, nil,
            { context in
                // Proof: the context is the Body retained above, and pthread_create hands it over once.
                if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, box.toOpaque())
        if status == 0 {
            pthread_detach(thread)
        } else {
            // No thread is to be had: later than wanted, but not never.
            box.release()
            DispatchQueue.global().async(execute: body)
        }
    }

    private final class Body {
        let run: @Sendable () -> Void
        init(run: @escaping @Sendable () -> Void) { self.run = run }
    }

    static func value<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in start { continuation.resume(returning: body()) } }
    }

    static func run<Value: Sendable>(_ body: @escaping @Sendable () throws(SFTPError) -> Value)
        async throws(SFTPError) -> Value
    {
        let result = await value { Result { () throws(SFTPError) in try body() } }
        return try result.get()
    }
}

import Glibc
import Synchronization

/// A TCP line to a port of this machine that can be cut, or go dead, after so many bytes.
///
/// Bytes are counted in both directions and over all connections. Each direction of a connection
/// has a thread.
final class FaultyRelay: Sendable {
    enum Fault: Sendable, Hashable {
        case none
        /// The connections that are open are reset; later ones are as good as new.
        case cutOnce(afterBytes: Int)
        /// All are reset, and nobody listens any more.
        case cutForGood(afterBytes: Int)
        /// Nothing moves any more, and nothing is closed: a pulled cable.
        case stall(afterBytes: Int)
        /// Each direction of each connection moves so many bytes a second; all but the first connection are
        /// reset after so many bytes.
        case slow(bytesPerSecond: Int, cuttingLaterOnesAfter: Int?)
    }

    struct Failure: Error { var message: String }

    let port: UInt16
    private let target: UInt16
    private let listener: CInt
    private let state = Mutex(State())

    private struct State {
        var fault = Fault.none
        var bytes = 0
        var struck = false
        var isClosed = false
        var open: [Int: [CInt]] = [:]
        var next = 0
        var bytesByConnection: [Int: Int] = [:]
    }

    init(to target: UInt16) throws {
        self.target = target
        listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        guard Self.loopback(0, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0,
            withUnsafeMutablePointer(
                to: &address,
                { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        getsockname(listener, $0, &size)
                    }
                }) == 0
        else { throw Failure(message: "cannot listen: \(String(cString: strerror(errno)))") }
        port = UInt16(bigEndian: address.sin_port)
        Self.thread { self.acceptLoop() }
    }

    /// Begins to count anew.
    func set(_ fault: Fault) {
        state.withLock { state in
            state.fault = fault
            state.bytes = 0
            state.bytesByConnection = [:]
            state.struck = false
        }
    }

    /// Bytes since ``set(_:)``.
    var bytes: Int { state.withLock { $0.bytes } }
    /// The same, of each connection, in the order they were made.
    var bytesByConnection: [Int] {
        state.withLock { state in state.bytesByConnection.sorted { $0.key < $1.key }.map(\.value) }
    }
    var hasStruck: Bool { state.withLock { $0.struck } }

    /// Resets what is open and ends the relay.
    func close() {
        state.withLock { $0.isClosed = true }
        resetAll()
        shutdown(listener, CInt(SHUT_RDWR))
    }

    private func acceptLoop() {
        defer { Glibc.close(listener) }
        while true {
            let near = accept(listener, nil, nil)
            if near < 0 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                return
            }
            let refuses = state.withLock { state in
                if case .cutForGood = state.fault, state.struck { return true }
                return state.isClosed
            }
            let far = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            guard !refuses, Self.loopback(target, { connect(far, $0, $1) }) == 0 else {
                Self.reset(near)
                Glibc.close(near)
                Glibc.close(far)
                continue
            }
            let number = state.withLock { state in
                state.next += 1
                state.open[state.next] = [near, far]
                return state.next
            }
            let left = Atomic2()
            for (from, to) in [(near, far), (far, near)] {
                Self.thread {
                    self.move(from, to, number)
                    // The last of the two closes both.
                    guard left.isLast() else { return }
                    self.state.withLock { $0.open[number] = nil }
                    Glibc.close(near)
                    Glibc.close(far)
                }
            }
        }
    }

    private func move(_ from: CInt, _ to: CInt, _ number: Int) {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = recv(from, &buffer, buffer.count, 0)
            guard count > 0 else {
                shutdown(to, CInt(SHUT_WR))
                return
            }
            var allowed = admitted(count, number)
            if case .slow(let rate, let limit) = state.withLock({ $0.fault }) {
                usleep(UInt32(Double(count) / Double(rate) * 1e6))
                if let limit, isLater(number, than: limit) {
                    Self.reset(from)
                    Self.reset(to)
                    return
                }
            }
            let isAll = allowed == count
            var done = 0
            while allowed > done {
                let sent = buffer.withUnsafeBytes {
                    send(to, $0.baseAddress?.advanced(by: done), allowed - done, CInt(MSG_NOSIGNAL))
                }
                if sent < 0 { allowed = 0 } else { done += sent }
            }
            if isAll, allowed == count { continue }
            if case .stall = state.withLock({ $0.fault }) {
                // Until the fault is taken away, or the relay ends.
                while state.withLock({ state in
                    if case .stall = state.fault { return !state.isClosed }
                    return false
                }) { usleep(10_000) }
            }
            resetAll()
            return
        }
    }

    private func isLater(_ number: Int, than limit: Int) -> Bool {
        state.withLock { state in
            number != state.bytesByConnection.keys.min()
                && state.bytesByConnection[number, default: 0] > limit
        }
    }

    /// How many of these bytes pass.
    private func admitted(_ count: Int, _ number: Int) -> Int {
        state.withLock { state in
            let limit: Int
            switch state.fault {
            case .none, .slow: limit = .max
            case .cutOnce(let bytes): limit = state.struck ? .max : bytes
            case .cutForGood(let bytes), .stall(let bytes): limit = bytes
            }
            let before = state.bytes
            state.bytes += count
            state.bytesByConnection[number, default: 0] += count
            if limit == .max || before + count <= limit { return count }
            state.struck = true
            return max(0, limit - before)
        }
    }

    private func resetAll() {
        state.withLock { state in
            for descriptor in state.open.values.flatMap({ $0 }) { Self.reset(descriptor) }
        }
    }

    /// The other end sees a reset, and threads that wait here go on.
    private static func reset(_ descriptor: CInt) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        shutdown(descriptor, CInt(SHUT_RDWR))
    }

    private static func loopback<Value>(
        _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
    ) -> Value {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static func thread(_ body: @escaping @Sendable () -> Void) {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Box(body))
        let failure = pthread_create(
            &thread, nil,
            { context in
                // Proof: the only context that is passed is the retained box above.
                Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        if failure == 0 { pthread_detach(thread) } else { box.release() }
    }

    /// Tells the second of two that it is the last.
    private final class Atomic2: Sendable {
        private let count = Mutex(0)

        func isLast() -> Bool {
            count.withLock { count in
                count += 1
                return count == 2
            }
        }
    }
}

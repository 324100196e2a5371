import Glibc

/// A long line: relays TCP connections on the loopback interface, and hands on each byte so long
/// after it came, in both directions, at whatever rate the two ends keep up.
///
/// A process of this program (`plantdb-bench relay …`) and not tc-netem(8), which wants root, a
/// kernel module and a network namespace, and is not to be had in most containers; what is
/// measured is how many round trips a program waits for, and those cost the same here. What is
/// missing is what only a real line has: loss, and a TCP window that opens slowly.
///
/// One thread and poll(2). Memory: at most ``inFlight`` a direction, which at 20 ms lets 3 GB/s
/// through.
struct DelayRelay {
    static let word = "relay"
    private static let inFlight = 64 << 20
    private static let chunk = 256 << 10

    private let listener: CInt
    private let target: UInt16
    private let delay: Double
    private var lines: [Line] = []

    /// The arguments of the process: `relay LISTEN-PORT TARGET-PORT MILLISECONDS`.
    static func words(from port: UInt16, to target: UInt16, milliseconds: Int) throws(BenchError) -> [String]
    {
        [try absolutePath("/proc/self/exe"), word, "\(port)", "\(target)", "\(milliseconds)"]
    }

    init(arguments: [String]) throws(BenchError) {
        guard arguments.count == 3, let port = UInt16(arguments[0]), let target = UInt16(arguments[1]),
            let milliseconds = Int(arguments[2]), milliseconds >= 0
        else { throw BenchError("usage: plantdb-bench \(Self.word) LISTEN-PORT TARGET-PORT MILLISECONDS") }
        self.target = target
        delay = Double(milliseconds) / 1000
        // A peer that went away is an error of send(2), not the end of this process.
        signal(SIGPIPE, SIG_IGN)
        listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        var yes: CInt = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
        guard listener >= 0, Loopback.with(port, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0
        else { throw BenchError(errno: errno, "cannot listen on port \(port)") }
    }

    /// Until it is ended by a signal.
    mutating func run() throws(BenchError) {
        while true {
            var wanted = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
            var due = Double.infinity
            let now = monotonicSeconds()
            for line in lines { wanted.append(line.interest(at: now, due: &due)) }
            let wait = due == .infinity ? -1 : max(0, due - monotonicSeconds())
            try Self.poll(&wanted, seconds: wait)
            let later = monotonicSeconds()
            for line in lines { line.move(at: later, delay: delay) }
            lines.removeAll(where: \.isOver)
            if wanted[0].revents != 0 { accept() }
        }
    }

    /// - Parameter seconds: rounded up to milliseconds, so that what is due is sent up to one late;
    ///   negative: for ever.
    private static func poll(_ wanted: inout [pollfd], seconds: Double) throws(BenchError) {
        let limit = seconds < 0 ? -1 : CInt((seconds * 1000).rounded(.up))
        guard Glibc.poll(&wanted, nfds_t(wanted.count), limit) >= 0 || errno == EINTR else {
            throw BenchError(errno: errno, "cannot poll")
        }
    }

    private mutating func accept() {
        let near = Glibc.accept(listener, nil, nil)
        guard near >= 0 else { return }
        let far = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard far >= 0, Loopback.with(target, { connect(far, $0, $1) }) == 0 else {
            close(near)
            close(far)
            return
        }
        for descriptor in [near, far] {
            var yes: CInt = 1
            setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<CInt>.size))
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        }
        let pair = SocketPair(near, far)
        lines.append(Line(from: near, to: far, pair))
        lines.append(Line(from: far, to: near, pair))
    }

    /// Both directions of a connection; the sockets are closed with the last of them.
    private final class SocketPair {
        private let first: CInt
        private let second: CInt

        init(_ first: CInt, _ second: CInt) {
            self.first = first
            self.second = second
        }

        deinit {
            close(first)
            close(second)
        }
    }

    /// One direction.
    private final class Line {
        private let input: CInt
        private let output: CInt
        private let sockets: SocketPair
        private var waiting: [(due: Double, bytes: [UInt8])] = []
        /// Those before it were sent; removed many at a time.
        private var first = 0
        private var sent = 0
        private var bytesWaiting = 0
        private var isInputOver = false
        private var buffer = [UInt8](repeating: 0, count: chunk)
        private(set) var isOver = false

        init(from input: CInt, to output: CInt, _ sockets: SocketPair) {
            self.input = input
            self.output = output
            self.sockets = sockets
        }

        private var canRead: Bool { !isInputOver && bytesWaiting < inFlight }

        /// A descriptor to wait for: to send what is due; else for more to come.
        func interest(at now: Double, due: inout Double) -> pollfd {
            if first < waiting.count {
                if waiting[first].due <= now {
                    // What comes meanwhile is read after the next thing is sent.
                    return pollfd(fd: output, events: Int16(POLLOUT), revents: 0)
                }
                due = min(due, waiting[first].due)
            }
            return pollfd(fd: canRead ? input : -1, events: Int16(POLLIN), revents: 0)
        }

        /// Reads all that has come, and sends all that is due.
        func move(at now: Double, delay: Double) {
            // A little at a time, so that the clock stays right.
            for _ in 0..<8 where canRead {
                let count = recv(input, &buffer, buffer.count, 0)
                if count > 0 {
                    waiting.append((now + delay, Array(buffer[..<count])))
                    bytesWaiting += count
                } else if count < 0 && (errno == EAGAIN || errno == EINTR) {
                    break
                } else {
                    isInputOver = true
                    // The end takes as long as the bytes before it.
                    waiting.append((now + delay, []))
                }
            }
            while first < waiting.count, waiting[first].due <= now, !isOver {
                let bytes = waiting[first].bytes
                if bytes.isEmpty {
                    shutdown(output, CInt(SHUT_WR))
                    isOver = true
                    return
                }
                let count = bytes.withUnsafeBytes {
                    send(output, $0.baseAddress?.advanced(by: sent), $0.count - sent, 0)
                }
                if count < 0 {
                    if errno == EAGAIN || errno == EINTR { return }
                    // Nobody takes it any more: whoever sends it shall know.
                    shutdown(input, CInt(SHUT_RDWR))
                    isOver = true
                    return
                }
                sent += count
                guard sent == bytes.count else { continue }
                bytesWaiting -= sent
                sent = 0
                waiting[first].bytes = []
                first += 1
                if first >= 1024 {
                    waiting.removeFirst(first)
                    first = 0
                }
            }
        }
    }
}

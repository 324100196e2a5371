import Glibc
import Hummingbird
import NIOCore

/// A request, and where it came from.
struct AppContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let remoteAddress: SocketAddress?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}

/// Who is at the other end of a connection on the loopback interface: the kernel tells whose socket it
/// is (proc_net(5), `/proc/net/tcp`).
enum LoopbackPeer {
    /// Whether it is this user, or root. Where the kernel tells nothing, everybody is.
    ///
    /// - Parameter port: the one that is listened on.
    static func isOurs(_ address: SocketAddress?, port: Int) -> Bool {
        guard let peer = address?.port else { return false }
        guard let table = connections() else { return true }
        return isOurs(peer, port: port, in: table, user: getuid())
    }

    private static func connections() -> String? {
        let descriptor = open("/proc/net/tcp", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while case let count = read(descriptor, &buffer, buffer.count), count > 0 {
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func isOurs(_ peer: Int, port: Int, in table: String, user: uid_t) -> Bool {
        for line in table.split(separator: "\n").dropFirst() {
            // sl local remote st queues timer retransmits uid …
            let fields = line.split(separator: " ")
            guard fields.count > 7, Self.port(fields[1]) == peer, Self.port(fields[2]) == port else {
                continue
            }
            return fields[7] == "0" || uid_t(fields[7]) == user
        }
        return false
    }

    /// `0100007F:1F90`.
    private static func port(_ field: Substring) -> Int? {
        field.lastIndex(of: ":").flatMap { Int(field[field.index(after: $0)...], radix: 16) }
    }
}

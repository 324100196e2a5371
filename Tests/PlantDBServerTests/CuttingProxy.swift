import NIOCore
import NIOPosix
import Synchronization

/// Stands between a client and a server, and does to the server's bytes what networks do.
final class CuttingProxy: Sendable {
    enum Fault: Sendable {
        case none
        /// Each connection ends after so many bytes of the server's.
        case cut(after: Int)
        /// One byte of each connection's is another.
        case damage(at: Int)
        /// Nothing arrives any more after so many bytes.
        case stall(after: Int)
    }

    private let listener: any Channel
    private let fault: Mutex<Fault>

    /// How many connections met their fault.
    let faults = Atomic(0)

    static func start(to port: Int, _ fault: Fault) async throws -> CuttingProxy {
        let box = ProxyBox()
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { client in
                ClientBootstrap(group: client.eventLoop)
                    .connect(host: "127.0.0.1", port: port)
                    .flatMap { server in
                        client.eventLoop.makeCompletedFuture {
                            try client.pipeline.syncOperations.addHandler(Relay(to: server, nil))
                            try server.pipeline.syncOperations.addHandler(Relay(to: client, box.proxy))
                            client.setOption(.autoRead, value: true).assumeIsolated().whenFailure { _ in
                                client.close(promise: nil)
                            }
                        }
                    }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let proxy = CuttingProxy(listener: listener, fault: fault)
        box.set(proxy)
        return proxy
    }

    private init(listener: any Channel, fault: Fault) {
        self.listener = listener
        self.fault = Mutex(fault)
    }

    var port: Int { listener.localAddress?.port ?? 0 }

    func set(_ fault: Fault) { self.fault.withLock { $0 = fault } }

    fileprivate var current: Fault { fault.withLock { $0 } }

    func stop() async throws { try await listener.close() }
}

private final class ProxyBox: Sendable {
    private let stored = Mutex<CuttingProxy?>(nil)
    var proxy: CuttingProxy? { stored.withLock { $0 } }
    func set(_ proxy: CuttingProxy) { stored.withLock { $0 = proxy } }
}

private final class Relay: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let other: any Channel
    private let proxy: CuttingProxy?
    private var seen = 0
    private var isStalled = false

    init(to other: any Channel, _ proxy: CuttingProxy?) {
        self.other = other
        self.proxy = proxy
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        let before = seen
        seen += bytes.readableBytes
        switch proxy?.current ?? .none {
        case .none: break
        case .cut(let limit) where seen > limit:
            proxy?.faults.add(1, ordering: .relaxed)
            let rest = bytes.readSlice(length: max(0, limit - before)) ?? ByteBuffer()
            other.writeAndFlush(rest).assumeIsolated().whenComplete { _ in context.close(promise: nil) }
            return
        case .damage(let position) where (before..<seen).contains(position):
            proxy?.faults.add(1, ordering: .relaxed)
            let index = bytes.readerIndex + position - before
            bytes.setInteger((bytes.getInteger(at: index) ?? 0 as UInt8) ^ 0x20, at: index)
        case .stall(let limit) where seen > limit:
            if !isStalled { proxy?.faults.add(1, ordering: .relaxed) }
            isStalled = true
            return
        case .cut, .damage, .stall: break
        }
        other.writeAndFlush(bytes, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Tells a client that waits to be told that it may send its body (RFC 9110, section 10.1.1).
final class ContinueHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundOut = HTTPResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let request) = unwrapInboundIn(data), let expect = request.headerFields[.expect],
            expect.lowercased() == "100-continue"
        {
            let answer = HTTPResponsePart.head(HTTPResponse(status: .continue))
            context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
        }
        context.fireChannelRead(data)
    }
}

/// NIO reads 64 KiB at most by default, which costs a third of the rate of uploads.
final class ReceiveBufferHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = Any

    func handlerAdded(context: ChannelHandlerContext) {
        context.channel.setOption(
            ChannelOptions.recvAllocator,
            value: AdaptiveRecvByteBufferAllocator(minimum: 4 << 10, initial: 64 << 10, maximum: 256 << 10)
        ).assumeIsolated().whenFailure { context.fireErrorCaught($0) }
    }
}

/// Closes a connection that brings its next request too slowly (CWE-400): a byte now and then keeps it from being
/// idle.
final class RequestDeadlineHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let first: TimeAmount
    private let next: TimeAmount
    private var deadline: Scheduled<Void>?
    /// Heads that came and are not answered: a client may send the next before.
    private var unanswered = 0
    private var isInRequest = false

    /// - Parameters:
    ///   - first: how long the first head may take, from the connection.
    ///   - next: how long a further one may take, from the answer before it.
    init(first: TimeAmount, next: TimeAmount) {
        self.first = first
        self.next = next
    }

    func handlerAdded(context: ChannelHandlerContext) { expectHead(within: first, context) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            unanswered += 1
            isInRequest = true
            deadline?.cancel()
        case .body: break
        case .end:
            isInRequest = false
            expectNext(context)
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) {
            unanswered -= 1
            expectNext(context)
        }
        context.write(data, promise: promise)
    }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    private func expectNext(_ context: ChannelHandlerContext) {
        // A request that was refused may still be on its way.
        if unanswered <= 0, !isInRequest { expectHead(within: next, context) }
    }

    private func expectHead(within time: TimeAmount, _ context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: time) {
            context.close(promise: nil)
        }
    }
}

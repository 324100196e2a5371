import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import PlantDBWire

/// What one connection may cost (CWE-400): its heads have deadlines, its bodies a least rate, its answers are taken,
/// and a request that ends before its body does is an error and no shorter body.
package final class RequestGuard: ChannelDuplexHandler, RemovableChannelHandler {
    package typealias InboundIn = HTTPRequestPart
    package typealias InboundOut = HTTPRequestPart
    package typealias OutboundIn = HTTPResponsePart
    package typealias OutboundOut = HTTPResponsePart

    package struct Limits: Sendable {
        /// How long the first head may take, from the connection.
        package var firstHead = TimeAmount.seconds(30)
        /// How long a further one may take, from the answer before it.
        package var nextHead = TimeAmount.seconds(120)
        /// The ``PlantDBWire/Patience`` with a body: of anybody, and of those who are trusted.
        package var body = Duration.seconds(20)
        package var trustedBody = Duration.seconds(120)
        /// How long a client may take nothing of an answer.
        package var stall = TimeAmount.seconds(600)
        /// From when on a slow request is ended for another, where there are too many.
        package var grace = TimeAmount.seconds(2)

        package init() {}
    }

    /// Sent down the pipeline.
    package enum Event: Sendable {
        /// Whoever sent the request that is being read may change the database.
        case trust
        /// Another connection needs the place of this one.
        case makeRoom
    }

    private let limits: Limits
    private let roster: ConnectionRoster
    private var headDeadline: Scheduled<Void>?
    private var bodyTimer: Scheduled<Void>?
    private var stallTimer: Scheduled<Void>?
    /// Heads that came and are not answered: a client may send the next before.
    private var unanswered = 0
    private var isInRequest = false
    private var requestSince = NIODeadline.uptimeNanoseconds(0)
    private var isTrusted = false
    private var isRefused = false
    private var patience: Patience
    /// Since when the client is waited for; nil: for nothing of a body.
    private var waitingSince: NIODeadline?
    /// Since when the client takes nothing.
    private var stalledSince: NIODeadline?

    package init(_ roster: ConnectionRoster, limits: Limits = Limits()) {
        self.roster = roster
        self.limits = limits
        patience = Patience(limits.body)
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        expectHead(within: limits.firstHead, context)
        if context.channel.isActive { admit(context) }
    }

    package func channelActive(context: ChannelHandlerContext) {
        admit(context)
        context.fireChannelActive()
    }

    package func handlerRemoved(context: ChannelHandlerContext) { end(context) }

    package func channelInactive(context: ChannelHandlerContext) {
        end(context)
        failRequest(context)
        context.fireChannelInactive()
    }

    private func end(_ context: ChannelHandlerContext) {
        roster.remove(context.channel)
        for timer in [headDeadline, bodyTimer, stallTimer] { timer?.cancel() }
    }

    // MARK: Requests

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isRefused else { return }
        switch unwrapInboundIn(data) {
        case .head:
            unanswered += 1
            isInRequest = true
            isTrusted = false
            requestSince = context.eventLoop.now
            patience = Patience(limits.body)
            headDeadline?.cancel()
            mark(context)
        case .body(let bytes):
            guard spend(for: bytes.readableBytes, context) else { return context.close(promise: nil) }
        case .end:
            isInRequest = false
            waitingSince = nil
            mark(context)
            expectNext(context)
        }
        context.fireChannelRead(data)
    }

    /// Somebody wants to read on: what goes by from now on is the client's time.
    package func read(context: ChannelHandlerContext) {
        if isInRequest, waitingSince == nil {
            waitingSince = context.eventLoop.now
            watchBody(context)
        }
        context.read()
    }

    private func spend(for bytes: Int, _ context: ChannelHandlerContext) -> Bool {
        let waited = waitingSince.map { context.eventLoop.now - $0 } ?? .zero
        waitingSince = nil
        return patience.spend(.nanoseconds(waited.nanoseconds), for: bytes)
    }

    private func watchBody(_ context: ChannelHandlerContext) {
        guard bodyTimer == nil else { return }
        let time = TimeAmount.nanoseconds(Int64(clamping: Int(patience.left / .nanoseconds(1))))
        bodyTimer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [self] in
            bodyTimer = nil
            guard isInRequest, let since = waitingSince else { return }
            var rest = patience
            let waited = Duration.nanoseconds((context.eventLoop.now - since).nanoseconds)
            if rest.spend(waited, for: 0) { watchBody(context) } else { context.close(promise: nil) }
        }
    }

    /// The client has ended its side of the connection, or all of it.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { failRequest(context) }
        context.fireUserInboundEventTriggered(event)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        isInRequest = false
        context.fireErrorCaught(error)
    }

    /// Otherwise whoever reads the body takes its end for the end of the body.
    private func failRequest(_ context: ChannelHandlerContext) {
        guard isInRequest else { return }
        isInRequest = false
        context.fireErrorCaught(HTTPParserError.invalidEOFState)
    }

    // MARK: Answers

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) {
            unanswered -= 1
            mark(context)
            expectNext(context)
        }
        context.write(data, promise: promise)
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        stalledSince = context.channel.isWritable ? nil : context.eventLoop.now
        mark(context)
        if stalledSince != nil { watchStall(within: limits.stall, context) }
        context.fireChannelWritabilityChanged()
    }

    private func watchStall(within time: TimeAmount, _ context: ChannelHandlerContext) {
        guard stallTimer == nil else { return }
        stallTimer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [self] in
            stallTimer = nil
            guard let since = stalledSince else { return }
            let rest = since + limits.stall - context.eventLoop.now
            if rest > .zero { watchStall(within: rest, context) } else { context.close(promise: nil) }
        }
    }

    private func expectNext(_ context: ChannelHandlerContext) {
        // A request that was refused may still be on its way.
        if unanswered <= 0, !isInRequest { expectHead(within: limits.nextHead, context) }
    }

    private func expectHead(within time: TimeAmount, _ context: ChannelHandlerContext) {
        headDeadline?.cancel()
        headDeadline = context.eventLoop.assumeIsolated().scheduleTask(in: time) {
            context.close(promise: nil)
        }
    }

    // MARK: Among others

    package func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        switch event as? Event {
        case .trust:
            if isInRequest || unanswered > 0 {
                isTrusted = true
                patience.raise(to: limits.trustedBody)
                mark(context)
            }
            promise?.succeed()
        case .makeRoom:
            switch state(context) {
            case .idle: context.close(promise: nil)
            case .sending(let from) where from <= context.eventLoop.now,
                .stalled(let from) where from <= context.eventLoop.now:
                context.close(promise: nil)
            // A request came, or went on, in the meantime.
            case .sending, .stalled, .atWork: mark(context)
            }
            promise?.succeed()
        case nil: context.triggerUserOutboundEvent(event, promise: promise)
        }
    }

    private func state(_ context: ChannelHandlerContext) -> ConnectionRoster.State {
        if unanswered <= 0, !isInRequest { return .idle(since: context.eventLoop.now) }
        if isTrusted { return .atWork }
        if let stalledSince { return .stalled(slowFrom: stalledSince + limits.grace) }
        return isInRequest ? .sending(slowFrom: requestSince + limits.grace) : .atWork
    }

    private func mark(_ context: ChannelHandlerContext) {
        guard !isRefused, context.channel.isActive else { return }
        roster.mark(context.channel, state(context))
    }

    private func admit(_ context: ChannelHandlerContext) {
        guard !roster.admit(context.channel, at: context.eventLoop.now) else { return }
        isRefused = true
        let text = #"{"error": "the server has too many connections; try again later"}"#
        let head = HTTPResponse(
            status: .serviceUnavailable,
            headerFields: [
                .connection: "close", .retryAfter: "2", .contentType: "application/json",
                .contentLength: String(text.utf8.count),
            ])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(ByteBuffer(string: text))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        // At once, the answer would be lost with what the client has sent.
        context.close(mode: .output, promise: nil)
        expectHead(within: .seconds(2), context)
    }
}

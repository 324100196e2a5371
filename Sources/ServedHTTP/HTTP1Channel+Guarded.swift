import HummingbirdCore
import NIOCore

extension HTTP1Channel.Configuration {
    /// Requests that cost a server no more than they may, by ``RequestGuard``.
    package static func guarded(
        by roster: ConnectionRoster, limits: RequestGuard.Limits = RequestGuard.Limits(),
        _ handlers: @autoclosure @escaping @Sendable () -> [any RemovableChannelHandler] = []
    ) -> HTTP1Channel.Configuration {
        var configuration = HTTP1Channel.Configuration(
            additionalChannelHandlers: handlers() + [RequestGuard(roster, limits: limits)],
            idleTimeout: limits.nextHead)
        configuration.httpDecoder = .init(
            maxHeaderFieldSize: maximumHeaderBytes, maxHeaderListSize: maximumHeaderBytes,
            maxHeaderFieldCount: 100)
        return configuration
    }

    /// Requests whose headers are larger are refused.
    private static var maximumHeaderBytes: Int { 32 << 10 }
}

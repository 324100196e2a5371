import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import PlantDBCore
import Synchronization

/// Whether it is its dates for which a certificate is refused, which TLS's error does not tell.
enum CertificateDates {
    private static let limit = TimeAmount.seconds(5)

    /// Asks the server for its certificates once more, and says nothing to it.
    ///
    /// - Returns: the end of “the certificate of …”; nil: its dates are right, or it was not shown.
    static func complaint(of address: ServerAddress) async -> String? {
        for certificate in await certificates(of: address) {
            let now = time(nil)
            if certificate.notValidAfter < now {
                return
                    "expired on \(text(certificate.notValidAfter)); it is to be renewed (or this machine's clock is wrong)"
            }
            if certificate.notValidBefore > now {
                return "is valid from \(text(certificate.notValidBefore)) on; is this machine's clock right?"
            }
        }
        return nil
    }

    private static func certificates(of address: ServerAddress) async -> [NIOSSLCertificate] {
        let shown = Shown()
        do {
            let context = try NIOSSLContext(configuration: .makeClientConfiguration())
            let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connectTimeout(limit)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let handler = try NIOSSLClientHandler(
                            context: context, serverHostname: nil,
                            customVerificationCallback: { certificates, promise in
                                shown.certificates.withLock { $0 = certificates }
                                // Nothing is to be said to who was refused.
                                promise.succeed(.failed)
                            })
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                }
                .connect(host: address.host, port: address.port).get()
            let end = channel.eventLoop.scheduleTask(in: limit) { channel.close(promise: nil) }
            try await channel.closeFuture.get()
            end.cancel()
        } catch {
            // Then it stays with what is known.
        }
        return shown.certificates.withLock { $0 }
    }

    private final class Shown: Sendable {
        let certificates = Mutex<[NIOSSLCertificate]>([])
    }

    private static func text(_ time: time_t) -> String {
        var (time, parts) = (time, tm())
        gmtime_r(&time, &parts)
        func two(_ number: CInt) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) "
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)) UTC"
    }
}

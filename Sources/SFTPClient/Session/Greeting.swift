import Glibc
import NIOCore

/// The first exchange of a session: versions, extensions, limits. Blocks.
struct Greeting {
    let channel: any SFTPChannel

    /// - Throws: `protocolViolation` for a server that does not speak SFTP version 3;
    ///   `unreachable` if it does not answer within `limit`; `connectionLost`.
    func exchange(limit: Duration) throws(SFTPError) -> SFTPSession.Server {
        // ssh may have ended before it was spoken to.
        Descriptors.blockBrokenPipe()
        let deadline = ContinuousClock.now + limit
        var frames = FrameBuffer(capacity: 0)
        var hello = ByteBuffer()
        hello.writeInteger(UInt32(5))
        hello.writeMultipleIntegers(PacketType.initialize.rawValue, UInt32(3))
        try Descriptors.writeAll(hello.readableBytesView, to: channel.output)
        let extensions = try versionReply(try packet(&frames, deadline))
        guard extensions.contains(.limits) else {
            return SFTPSession.Server(extensions: extensions, limits: nil)
        }
        var question = ByteBuffer()
        SFTPRequest.limits.write(to: &question, id: 0)
        try Descriptors.writeAll(question.readableBytesView, to: channel.output)
        return SFTPSession.Server(
            extensions: extensions, limits: try limitsReply(try packet(&frames, deadline)))
    }

    private func versionReply(_ bytes: UnsafeRawBufferPointer) throws(SFTPError) -> Set<SFTPExtension> {
        var packet = PacketReader(bytes)
        let type: UInt8 = try packet.integer()
        guard type == PacketType.version.rawValue else {
            throw packet.violation("type \(type) in place of its version")
        }
        let version: UInt32 = try packet.integer()
        guard version == 3 else {
            throw SFTPError(.unsupported, "the server speaks SFTP version \(version), not 3")
        }
        var extensions: Set<SFTPExtension> = []
        while packet.remaining > 0 {
            let name = try packet.text()
            _ = try packet.string()
            if let known = SFTPExtension(rawValue: name) { extensions.insert(known) }
        }
        return extensions
    }

    private func limitsReply(_ bytes: UnsafeRawBufferPointer) throws(SFTPError) -> ServerLimits? {
        var packet = PacketReader(bytes)
        let type: UInt8 = try packet.integer()
        let id: UInt32 = try packet.integer()
        guard id == 0, let type = PacketType(rawValue: type) else {
            throw packet.violation("another answer in place of its limits")
        }
        guard case .limits(let limits) = try ReplyView(type, &packet).reply(to: .limits) else { return nil }
        return limits
    }

    private func packet(_ frames: inout FrameBuffer, _ deadline: ContinuousClock.Instant)
        throws(SFTPError) -> UnsafeRawBufferPointer
    {
        while true {
            let whole: UnsafeRawBufferPointer?
            do throws(SFTPError) { whole = try frames.next() } catch {
                // A shell that prints something before the server starts.
                let text = String(decoding: frames.head, as: UTF8.self).filter { $0 >= " " }
                throw SFTPError(
                    .protocolViolation,
                    "the server does not speak SFTP: it begins with “\(text)”; a login script that "
                        + "prints something does that")
            }
            if let whole { return whole }
            guard try Descriptors.waitForInput(channel.input, until: deadline) else {
                throw SFTPError(.unreachable, "the server did not answer in time")
            }
            let count = try Descriptors.read(channel.input, into: frames.space())
            guard count > 0 else {
                throw SFTPError(.connectionLost, "the connection ended before the server said anything")
            }
            frames.arrived(count)
        }
    }
}

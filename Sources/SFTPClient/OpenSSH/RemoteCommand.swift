import Glibc

/// One command on the other machine, with input and output, over ssh(1).
///
/// The command is a constant text: what changes goes through its input, so that no shell can
/// misunderstand a name.
public struct RemoteCommand: Sendable {
    public struct Outcome: Sendable {
        public var status: CInt
        public var output: [UInt8]
        public var complaints: String
    }

    private let destination: SSHDestination
    private let askpass: AskpassServer?

    public init(_ destination: SSHDestination, askpass: AskpassServer? = nil) {
        self.destination = destination
        self.askpass = askpass
    }

    /// - Parameters:
    ///   - input: what it reads; sent while its output is read.
    ///   - outputLimit: more than so many bytes are a violation.
    /// - Throws: what keeps ssh from logging in; `protocolViolation` for too much output.
    public func run(_ command: String, input: [UInt8], outputLimit: Int) async throws(SFTPError) -> Outcome {
        let child = try ChildProcess(
            "ssh", destination.arguments(asksPassword: askpass != nil) + [command],
            environment: askpass?.environment ?? [:],
            usesTerminal: destination.isInteractive && askpass == nil)
        askpass?.admit(child.process)
        async let sent: Void = Blocking.value {
            // A command that does not want its input has a reason that its output tells.
            do throws(SFTPError) { try Descriptors.writeAllQuietly(input, to: child.input) } catch {}
            child.closeInput()
        }
        let result: Result<[UInt8], SFTPError> = await Blocking.value {
            Result { () throws(SFTPError) in try Self.readAll(child.output, limit: outputLimit) }
        }
        if case .failure = result { kill(child.process, SIGTERM) }
        await sent
        let exit = await Blocking.value { child.end() }
        defer { child.release() }
        let output = try result.get()
        switch exit {
        case .code(let status) where status != 255:
            return Outcome(status: status, output: output, complaints: child.complaints)
        default:
            throw OpenSSHFailure.error(of: exit, saying: child.complaints)
                ?? SFTPError(.connectionLost, "ssh ended early")
        }
    }

    private static func readAll(_ descriptor: CInt, limit: Int) throws(SFTPError) -> [UInt8] {
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count == 0 { return result }
            if count < 0 {
                if errno == EINTR { continue }
                throw SFTPError(.connectionLost, "cannot read from ssh: \(String(cString: strerror(errno)))")
            }
            result += buffer[..<count]
            guard result.count <= limit else {
                throw SFTPError(
                    .protocolViolation, "a command on the server printed more than \(limit) bytes")
            }
        }
    }
}

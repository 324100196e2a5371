import Glibc

/// A way to a server: two descriptors, and whoever is behind them.
public protocol SFTPChannel: Sendable {
    /// To read from; blocking.
    var input: CInt { get }
    /// To write to; blocking.
    var output: CInt { get }
    /// Called once, when the server has answered for the first time.
    func wasGreeted()
    /// Makes reading from it come to an end soon; at any time before ``release()``.
    func interrupt()
    /// Called once, when the session is over: ends whoever is behind it, so that reading comes
    /// to an end, and says why the connection ended where it knows. Blocks for seconds at most.
    func end() -> SFTPError?
    /// Called once, after ``end()``, when nobody uses the descriptors any more: closes them.
    func release()
}

extension SFTPChannel {
    public func wasGreeted() {}
}

/// A connected socket, and nobody to end behind it.
public struct DescriptorChannel: SFTPChannel {
    public let input: CInt
    public let output: CInt

    /// Takes over the descriptors, which may be the same.
    public init(input: CInt, output: CInt) {
        self.input = input
        self.output = output
    }

    public func interrupt() { shutdown(input, CInt(SHUT_RDWR)) }

    public func end() -> SFTPError? {
        shutdown(input, CInt(SHUT_RDWR))
        return nil
    }

    public func release() {
        close(input)
        if output != input { close(output) }
    }
}

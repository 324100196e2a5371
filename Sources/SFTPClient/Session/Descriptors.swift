import Glibc

/// read(2), write(2) and poll(2), to their end and without EINTR. They block.
package enum Descriptors {
    /// As ``writeAll(_:to:)``, where a reader that goes away must not end this process: SIGPIPE
    /// goes to the thread that writes.
    static func writeAllQuietly(_ bytes: some Collection<UInt8>, to descriptor: CInt) throws(SFTPError) {
        blockBrokenPipe()
        try writeAll(bytes, to: descriptor)
    }

    /// For this thread, from now on.
    static func blockBrokenPipe() {
        var broken = sigset_t()
        sigemptyset(&broken)
        sigaddset(&broken, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &broken, nil)
    }

    static func writeAll(_ bytes: some Collection<UInt8>, to descriptor: CInt) throws(SFTPError) {
        let outcome = bytes.withContiguousStorageIfAvailable { buffer in
            Result { () throws(SFTPError) in try write(UnsafeRawBufferPointer(buffer), to: descriptor) }
        }
        if let outcome { return try outcome.get() }
        try writeAll(Array(bytes), to: descriptor)
    }

    private static func write(_ buffer: UnsafeRawBufferPointer, to descriptor: CInt) throws(SFTPError) {
        var done = 0
        while done < buffer.count {
            let count = Glibc.write(descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done)
            if count >= 0 {
                done += count
            } else if errno != EINTR {
                throw lost("cannot write to the server")
            }
        }
    }

    /// To a local file.
    package static func write(_ buffer: UnsafeRawBufferPointer, to descriptor: CInt, at offset: UInt64)
        throws(SFTPError)
    {
        var done = 0
        while done < buffer.count {
            let count = pwrite(
                descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done,
                off_t(offset) + off_t(done))
            if count >= 0 {
                done += count
            } else if errno != EINTR {
                let number = errno
                throw SFTPError(
                    .local, "cannot write: \(String(cString: strerror(number)))", systemError: number)
            }
        }
    }

    /// From a local file, up to its end.
    package static func read(
        _ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    )
        throws(SFTPError) -> Int
    {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done,
                off_t(offset) + off_t(done))
            if count == 0 { break }
            if count > 0 {
                done += count
            } else if errno != EINTR {
                let number = errno
                throw SFTPError(
                    .local, "cannot read: \(String(cString: strerror(number)))", systemError: number)
            }
        }
        return done
    }

    /// - Returns: 0 at the end.
    static func read(_ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer) throws(SFTPError) -> Int
    {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { throw lost("cannot read from the server") }
        }
    }

    /// - Returns: false if nothing came until then.
    static func waitForInput(_ descriptor: CInt, until deadline: ContinuousClock.Instant) throws(SFTPError)
        -> Bool
    {
        while true {
            let left = max(.zero, deadline - .now)
            let milliseconds = min(left / .milliseconds(1), Double(CInt.max)).rounded(.up)
            var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let count = poll(&wanted, 1, CInt(milliseconds))
            if count > 0 { return true }
            if count == 0 { return false }
            if errno != EINTR { throw lost("cannot wait for the server") }
        }
    }

    private static func lost(_ what: String) -> SFTPError {
        SFTPError(.connectionLost, "\(what): \(String(cString: strerror(errno)))")
    }
}

import Glibc

/// The last step of writing a file: some file systems say only there that nothing was stored (a quota on
/// AFS, FUSE file systems that upload when a file is closed).
package enum WrittenFile {
    /// close(2), once: the descriptor is gone whatever it answers. EINTR counts, since nobody knows then
    /// whether everything was stored.
    ///
    /// - Returns: errno, if it failed.
    package static func close(_ descriptor: CInt) -> CInt? { Glibc.close(descriptor) == 0 ? nil : errno }

    /// Runs `body`, and closes the file whatever comes of it.
    ///
    /// - Parameter failure: of closing, made of errno.
    package static func closing<Failure: Error>(
        _ descriptor: CInt, orThrow failure: (CInt) -> Failure, after body: () throws(Failure) -> Void
    ) throws(Failure) {
        do throws(Failure) { try body() } catch {
            // It is given up, and what it was given up for is told.
            _ = close(descriptor)
            throw error
        }
        if let number = close(descriptor) { throw failure(number) }
    }

    /// Replaces a small file, or makes it: readers see the old content or the new. One process at a time.
    ///
    /// - Returns: errno, if it failed.
    package static func replace(_ path: String, with bytes: [UInt8], mode: mode_t) -> CInt? {
        let staged = path + ".part"
        let descriptor = open(staged, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { return errno }
        do throws(Failure) {
            try closing(descriptor, orThrow: Failure.init) { () throws(Failure) in
                var written = 0
                while written < bytes.count {
                    let count = bytes.withUnsafeBytes {
                        write(descriptor, $0.baseAddress?.advanced(by: written), bytes.count - written)
                    }
                    guard count >= 0 || errno == EINTR else { throw Failure(number: errno) }
                    written += max(0, count)
                }
                guard fchmod(descriptor, mode) == 0, fsync(descriptor) == 0 else {
                    throw Failure(number: errno)
                }
            }
            guard rename(staged, path) == 0 else { throw Failure(number: errno) }
            return nil
        } catch {
            unlink(staged)
            return error.number
        }
    }

    private struct Failure: Error { var number: CInt }
}

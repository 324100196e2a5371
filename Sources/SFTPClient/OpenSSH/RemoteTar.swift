import Glibc
import Synchronization

/// Where the files of a packed download go. Calls come from one thread, one at a time.
public protocol PackedDownloadSink: Sendable {
    /// The names of the next files, relative to the directory, each no longer than
    /// ``RemoteTar/nameLimit``; nil: no more.
    func nextBatch() -> [[UInt8]]?
    /// One file of the oldest batch that has not ended, no larger than ``RemoteTar/smallFileLimit``.
    ///
    /// - Parameter index: its place in the batch; files come in its order, and some may be left out.
    func received(_ index: Int, _ header: TarHeader, content: UnsafeRawBufferPointer)
    /// In bytes: of one of the oldest batch.
    func listedSize(_ index: Int) -> UInt64
    /// A larger one comes.
    ///
    /// - Returns: a file of this machine to write it to, from its beginning; nil: it is of no use.
    func open(_ index: Int, _ header: TarHeader) -> CInt?
    /// Some of it was written.
    func received(bytes: Int)
    /// All of it was written, unless it failed. Takes over the descriptor.
    func complete(_ index: Int, descriptor: CInt, _ failure: SFTPError?)
    /// The oldest batch is over.
    ///
    /// - Parameter isProven: the server read all that came of it whole, and nothing of it changed
    ///   meanwhile. Otherwise nothing of it may be trusted.
    func batchEnded(isProven: Bool)
}

/// Where the files of a packed upload come from. Calls come from one thread, one at a time.
public protocol PackedUploadSource: Sendable {
    /// The next archive, whole; nil: no more.
    func nextArchive() -> [UInt8]?
    /// The oldest archive is over.
    ///
    /// - Parameter isWhole: all its files are there as it says. Otherwise any of them may be there
    ///   in part, and nobody is writing to them any more.
    func archiveEnded(isWhole: Bool)
}

/// GNU tar on the other machine. Of many small files SFTP asks and answers four times for each, where tar
/// sends a hundred in one packet; of large ones the SFTP server copies each byte more often than tar.
///
/// One shell is started, and told by its input what to pack or unpack next, so that the
/// directories and names pass through no command line. It answers in blocks of 512 bytes: a greeting, and
/// what tar writes, followed by a block with the status that tar ended with. After any status but zero it
/// ends.
public final class RemoteTar: Sendable {
    /// Larger files are not collected in memory; no larger ones are sent by tar: in bytes.
    public static let smallFileLimit = 64 << 10
    /// What is larger is not asked of tar, which tells only at the end whether it read well: in bytes.
    public static let fileLimit = 1 << 30
    /// In bytes; `./` goes before it, and a zero behind it.
    public static let nameLimit = TarHeader.nameLimit - 3

    /// Constant, without anything that bash, csh and fish read differently within quotes.
    ///
    /// The dot keeps newlines at the end of a directory's name, which `$()` drops. `-k`: a file that
    /// is there already is an error, as where the server does not tell upper and lower case.
    private static let script = """
        read -r hello; \
        LC_ALL=C; TAR_OPTIONS=; export LC_ALL TAR_OPTIONS; \
        printf "%-512s" "\(greeting)$(printf "ab" | { head -c 1 >/dev/null; cat; }) \
        $(tar --version 2>/dev/null | head -n 1)"; \
        while read -r job size form directory; do \
        case $form in octal) directory=$(printf "%b." "$directory"); directory=${directory%.};; esac; \
        cd "$directory" || exit 3; \
        case $job in \
        pack) head -c "$size" | \
        tar -c -b 128 --format=gnu --numeric-owner --null --no-recursion --hard-dereference -T - -f -;; \
        unpack) head -c "$size" | tar -x -k -p --no-same-owner -f -;; \
        *) exit 3;; \
        esac; \
        status=$?; \
        printf "%-512s" "\(trailer)$status"; \
        [ "$status" = 0 ] || exit "$status"; \
        done
        """
    private static let greeting = "plantdb-tar: "
    /// What `head` leaves to whoever reads after it. That of busybox leaves nothing, not even the next job.
    private static let rest = "b "
    private static let trailer = "plantdb-tar status "

    /// How long a server may take to log in and to greet.
    private static let greetingLimit = Duration.seconds(30)
    /// How long it may take until something is unpacked: nobody else may write to it before.
    private static let unpackingLimit = Duration.seconds(300)
    /// How long nothing may come of what is packed: SFTP does it as well. The connection is not lost then,
    /// ssh would have found that.
    private static let packingLimit = Duration.seconds(30)
    /// Of a file that has grown so much is thrown away, in bytes, for those that come after it.
    private static let excessLimit: UInt64 = 64 << 20
    /// Blocks at the end of an archive: two, and what fills a record of 128.
    private static let mostZeros = 130
    /// Requests on the way: one that is worked on, and one that waits.
    private static let depth = 2

    private let child: ChildProcess
    private let destination: SSHDestination
    private let isCancelled = Atomic(false)

    /// - Throws: what keeps ssh from logging in; `unsupported` where commands are not allowed, or
    ///   there is no GNU tar.
    public static func start(_ destination: SSHDestination, askpass: AskpassServer? = nil)
        async throws(SFTPError) -> RemoteTar
    {
        let child = try ChildProcess(
            "ssh", destination.arguments(asksPassword: askpass != nil) + ["exec sh -c '\(script)'"],
            environment: askpass?.environment ?? [:],
            usesTerminal: destination.isInteractive && askpass == nil)
        askpass?.admit(child.process)
        let result = RemoteTar(child, destination)
        do throws(SFTPError) {
            try await Blocking.run { () throws(SFTPError) in try result.greet() }
            return result
        } catch {
            await result.close()
            throw error
        }
    }

    private init(_ child: ChildProcess, _ destination: SSHDestination) {
        self.child = child
        self.destination = destination
    }

    private func greet() throws(SFTPError) {
        // An account that may only use SFTP has an SFTP server here: it takes this for a packet
        // longer than it allows, and ends.
        try Descriptors.writeAllQuietly("plantdb\n".utf8, to: child.input)
        var input = BlockBuffer(child.output, silence: Self.greetingLimit, called: .unsupported)
        let block = try input.block()
        guard block.starts(with: (Self.greeting + Self.rest).utf8),
            String(decoding: block, as: UTF8.self).contains("GNU tar")
        else { throw SFTPError(.unsupported, "\(destination.description) runs no GNU tar for us") }
    }

    /// Ends it, once nobody uses it any more.
    public func close() async {
        child.closeInput()
        await Blocking.value { _ = self.child.end() }
        child.release()
    }

    // MARK: Jobs

    /// Fetches files. On every way out each batch that was taken has ended.
    ///
    /// - Throws: what ended it: it is of no use any more, but to ``close()``.
    public func download(from directory: RemotePath, to sink: some PackedDownloadSink)
        async throws(SFTPError)
    {
        try await run { () throws(SFTPError) in try self.pack(directory, sink) }
    }

    /// Sends files into directories that are there. A file that is there already is an error.
    ///
    /// - Throws: what ended it: it is of no use any more, but to ``close()``. Archives of which it was not
    ///   told that they ended may be being unpacked still.
    public func upload(into directory: RemotePath, from source: some PackedUploadSource)
        async throws(SFTPError)
    {
        try await run { () throws(SFTPError) in try self.unpack(directory, source) }
    }

    private func run(_ job: @escaping @Sendable () throws(SFTPError) -> Void) async throws(SFTPError) {
        // The task's own flag is not seen on another thread.
        let result = await withTaskCancellationHandler {
            await Blocking.value { Result { () throws(SFTPError) in try job() } }
        } onCancel: {
            isCancelled.store(true, ordering: .relaxed)
            child.interrupt()
        }
        if case .failure = result, isCancelled.load(ordering: .relaxed) {
            throw SFTPError(.cancelled, "the transfer was cancelled")
        }
        try result.get()
    }

    private func pack(_ directory: RemotePath, _ sink: some PackedDownloadSink) throws(SFTPError) {
        Descriptors.blockBrokenPipe()
        var input = BlockBuffer(child.output, silence: Self.packingLimit, called: .protocolViolation)
        var batches: [[[UInt8]]] = []
        var isExhausted = false
        do throws(SFTPError) {
            while true {
                while !isExhausted, batches.count < Self.depth {
                    guard let batch = sink.nextBatch() else {
                        isExhausted = true
                        break
                    }
                    batches.append(batch)
                    var list: [UInt8] = []
                    for name in batch {
                        list += "./".utf8
                        list += name
                        list.append(0)
                    }
                    try send("pack", directory, list)
                }
                guard let batch = batches.first else { return }
                try receive(batch, &input, sink)
                batches.removeFirst()
                sink.batchEnded(isProven: true)
            }
        } catch {
            for _ in batches { sink.batchEnded(isProven: false) }
            throw error
        }
    }

    private func receive(_ batch: [[UInt8]], _ input: inout BlockBuffer, _ sink: some PackedDownloadSink)
        throws(SFTPError)
    {
        var next = 0
        var zeros = 0
        while true {
            let block = try input.block()
            if try isTrailer(block) { return }
            // Zeros are the end of an archive, and fill its last record.
            if block.first == 0, zeros <= Self.mostZeros, block.allSatisfy({ $0 == 0 }) {
                zeros += 1
                continue
            }
            guard let header = TarHeader(block) else {
                throw SFTPError(.protocolViolation, "what tar on the server sent is no header")
            }
            guard header.name.starts(with: "./".utf8),
                let index = batch[next...].firstIndex(of: Array(header.name.dropFirst(2)))
            else {
                throw SFTPError(.protocolViolation, "tar on the server sent a file that nobody asked for")
            }
            next = index + 1
            // Directories, links and devices have no content.
            guard header.isPlainFile else { continue }
            if header.size <= UInt64(Self.smallFileLimit) {
                let padded = try input.take(Int(header.paddedSize))
                sink.received(
                    index, header, content: UnsafeRawBufferPointer(rebasing: padded.prefix(Int(header.size))))
            } else {
                try receiveLarge(index, header, &input, sink)
            }
        }
    }

    private func receiveLarge(
        _ index: Int, _ header: TarHeader, _ input: inout BlockBuffer, _ sink: some PackedDownloadSink
    ) throws(SFTPError) {
        guard let descriptor = sink.open(index, header) else {
            guard header.size <= sink.listedSize(index) + Self.excessLimit else {
                throw SFTPError(.unsupported, "tar on the server sends a file of \(header.size) bytes")
            }
            return try input.skip(header.paddedSize)
        }
        var left = header.size
        do throws(SFTPError) {
            while left > 0 {
                let count = try input.move(upTo: left, to: descriptor)
                left -= UInt64(count)
                sink.received(bytes: count)
            }
        } catch {
            sink.complete(index, descriptor: descriptor, error)
            // What cannot be written here, the others need not suffer for.
            guard error.code == .local else { throw error }
            return try input.skip(left + header.paddedSize - header.size)
        }
        sink.complete(index, descriptor: descriptor, nil)
        try input.skip(header.paddedSize - header.size)
    }

    private func unpack(_ directory: RemotePath, _ source: some PackedUploadSource) throws(SFTPError) {
        Descriptors.blockBrokenPipe()
        var input = BlockBuffer(child.output, silence: Self.unpackingLimit, called: .connectionLost)
        var onTheWay = 0
        var isExhausted = false
        while true {
            while !isExhausted, onTheWay < Self.depth {
                guard let archive = source.nextArchive() else {
                    isExhausted = true
                    break
                }
                onTheWay += 1
                do throws(SFTPError) { try send("unpack", directory, archive) } catch {
                    // Why nobody reads any more is said in the answer, if it is said.
                    isExhausted = true
                }
            }
            if onTheWay == 0 { return }
            let block = try input.block()
            do throws(SFTPError) {
                guard try isTrailer(block) else {
                    throw SFTPError(.protocolViolation, "tar on the server sent what nobody asked for")
                }
            } catch {
                // It said how it ended, and unpacks nothing more.
                if error.code == .unsupported {
                    for _ in 0..<onTheWay { source.archiveEnded(isWhole: false) }
                }
                throw error
            }
            onTheWay -= 1
            source.archiveEnded(isWhole: true)
        }
    }

    private func send(_ job: String, _ directory: RemotePath, _ content: [UInt8]) throws(SFTPError) {
        let escaped = Self.escaped(directory)
        // Most are plain, and need no process of their own.
        let form = escaped.utf8.elementsEqual(directory.bytes) ? "plain" : "octal"
        let line = "\(job) \(content.count) \(form) \(escaped)\n"
        try Descriptors.writeAll(Array(line.utf8), to: child.input)
        try Descriptors.writeAll(content, to: child.input)
    }

    /// As `printf %b` reads it: anything but plain letters as an octal number.
    static func escaped(_ path: RemotePath) -> String {
        var result = ""
        for byte in path.bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "-"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 8)
                result += "\\0" + String(repeating: "0", count: 3 - digits.count) + digits
            }
        }
        return result
    }

    /// - Throws: `unsupported` if tar ended with another status than zero.
    private func isTrailer(_ block: UnsafeRawBufferPointer) throws(SFTPError) -> Bool {
        guard block.starts(with: Self.trailer.utf8) else { return false }
        let status = block.dropFirst(Self.trailer.utf8.count).prefix { $0 != UInt8(ascii: " ") }
        guard status.elementsEqual("0".utf8) else {
            throw SFTPError(
                .unsupported,
                "tar on the server ended with status \(String(decoding: status, as: UTF8.self).printableASCII)"
            )
        }
        return true
    }
}

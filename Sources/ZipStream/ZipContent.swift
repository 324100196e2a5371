import NIOCore

/// Turns the bytes of one entry in an archive into those of the file, and checks them.
struct ZipContent {
    private let name: String
    /// What is to come of the compressed bytes; nil: the compression tells its end.
    private var left: Int64?
    private let inflate: DeflateStream?
    private(set) var crc = RunningCRC32()
    private(set) var size: Int64 = 0
    private(set) var compressedSize: Int64 = 0
    /// What may come of the file's bytes.
    private let limit: Int64
    private let limits: ZipLimits
    /// Of the entries before, as they are in the archive and outside.
    private let before: (compressed: Int64, size: Int64)
    private(set) var isOver: Bool

    /// - Parameters:
    ///   - compressedSize: nil for a deflated entry only.
    ///   - limit: in bytes.
    init(
        _ entry: ZipEntry, compressedSize: Int64?, limit: Int64, limits: ZipLimits,
        after before: (compressed: Int64, size: Int64) = (0, 0)
    ) throws(ZipError) {
        name = entry.path
        left = compressedSize
        self.limit = limit
        self.limits = limits
        self.before = before
        inflate = entry.method == .deflated ? try DeflateStream(.expand) : nil
        isOver = inflate == nil && compressedSize == 0
    }

    /// Takes from `input`, no further than the entry's end; nil: nothing came of it.
    mutating func next(_ input: inout ByteBuffer) throws(ZipError) -> ByteBuffer? {
        guard !isOver, input.readableBytes > 0 || inflate != nil else { return nil }
        let available = Int(min(Int64(input.readableBytes), left ?? .max))
        let start = input.readerIndex
        var part = input.getSlice(at: start, length: available) ?? ByteBuffer()
        var output: ByteBuffer
        if let inflate {
            let result = try inflate.process(&part)
            output = result.output
            isOver = result.isOver
        } else {
            output = part
            part.moveReaderIndex(forwardBy: available)
        }
        let taken = available - part.readableBytes
        input.moveReaderIndex(forwardBy: taken)
        compressedSize += Int64(taken)
        if let known = left { left = known - Int64(taken) }
        if inflate == nil {
            isOver = left == 0
        } else if let left, isOver != (left == 0), isOver || output.readableBytes == 0 && available == taken {
            // More behind the end, or no end where it should be.
            throw ZipError(.corrupt, "\(ZipName.shown(name.utf8)): its compressed size is wrong")
        }
        guard output.readableBytes > 0 else { return nil }
        size += Int64(output.readableBytes)
        guard size <= limit else {
            throw ZipError(
                .tooLarge, "\(ZipName.shown(name.utf8)) is larger than it says, or than is allowed")
        }
        guard limits.allows(size, from: compressedSize),
            limits.allows(before.size + size, from: before.compressed + compressedSize)
        else {
            throw ZipError(
                .tooLarge,
                "\(ZipName.shown(name.utf8)) is compressed more than \(limits.ratio) times: it is taken for a bomb"
            )
        }
        crc.update(output)
        return output
    }
}

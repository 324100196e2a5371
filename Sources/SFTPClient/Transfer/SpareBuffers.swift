import NIOCore

/// A few buffers that were sent, to be filled again: the pages of a new one cost as much as reading into it.
struct SpareBuffers {
    private static let limit = 4
    private var buffers: [ByteBuffer] = []

    /// An empty one: the oldest, of which nobody has another reference by now.
    mutating func take(capacity: Int) -> ByteBuffer {
        var buffer = buffers.count < 2 ? ByteBuffer() : buffers.removeFirst()
        // Makes a new one where somebody has (copy on write).
        buffer.clear(minimumCapacity: capacity)
        return buffer
    }

    mutating func giveBack(_ buffer: ByteBuffer) {
        if buffers.count < Self.limit { buffers.append(buffer) }
    }
}

import NIOCore

/// Requests that are to be sent, in order. The bytes of writes are not copied: they follow their
/// request as the buffer that they came in.
struct OutgoingQueue {
    private var parts: [ByteBuffer] = []
    private var isLastOpen = false
    private(set) var byteCount = 0
    private(set) var requestCount = 0

    var isEmpty: Bool { requestCount == 0 }

    mutating func add(_ request: SFTPRequest, id: UInt32) {
        if !isLastOpen {
            parts.append(ByteBuffer())
            isLastOpen = true
        }
        let before = parts[parts.count - 1].writerIndex
        let content = request.writeHead(to: &parts[parts.count - 1], id: id)
        byteCount += parts[parts.count - 1].writerIndex - before
        requestCount += 1
        guard let content, content.readableBytes > 0 else { return }
        parts.append(content)
        byteCount += content.readableBytes
        isLastOpen = false
    }

    /// To be written one after the other.
    mutating func takeAll() -> [ByteBuffer] {
        defer { self = OutgoingQueue() }
        return parts
    }
}

import Glibc
import HTTPTypes
import Hummingbird
import NIOCore
import PlantDBCore

/// One file of a scan as an answer: whole or a range, with its validators.
struct RestFile: Sendable {
    let endpoint: any DatabaseEndpoint
    let selection: EntrySelection
    let entry: FileEntry

    init?(_ path: ScanPath, in manifest: ScanManifest, of endpoint: any DatabaseEndpoint) {
        guard let position = manifest.position(of: path), manifest[position].kind == .file else { return nil }
        self.endpoint = endpoint
        selection = EntrySelection(manifest: manifest, positions: [Int32(position)])
        entry = manifest[position]
    }

    /// Its first part is the time as upstream's clients read it: seconds with their fraction.
    private var entityTag: String {
        var path = CRC32()
        path.update("\(selection.scan)/\(entry.path)".utf8)
        let time = entry.modified ?? ModificationTime(nanoseconds: 0)
        let fraction = String(time.subsecondNanoseconds)
        let zeros = String(repeating: "0", count: 9 - fraction.count)
        return "\"\(time.seconds).\(zeros)\(fraction)-\(entry.size)-\(path.value)\""
    }

    /// RFC 9110, sections 13 and 14; of ranges the first kind only: one, in bytes.
    func response(to request: Request) async throws(DatabaseError) -> Response {
        let tag = entityTag
        let date = entry.modified?.httpDate
        var headers: HTTPFields = [
            .contentType: Self.mediaType(of: entry.path.name), .eTag: tag, .acceptRanges: "bytes",
            .cacheControl: "no-cache", .contentDisposition: "inline", .xContentTypeOptions: "nosniff",
        ]
        if let date { headers[.lastModified] = date }
        if let wanted = request.headers[.ifNoneMatch] {
            let tags = wanted.split(separator: ",").map { $0.trimming { $0 == " " } }
            if tags.contains("*") || tags.contains(where: { $0 == tag || $0 == "W/" + tag }) {
                return Response(status: .notModified, headers: headers)
            }
        } else if let since = request.headers[.ifModifiedSince], since == date {
            return Response(status: .notModified, headers: headers)
        }
        var range = 0..<entry.size
        var status = HTTPResponse.Status.ok
        let condition = request.headers[.ifRange]
        if let text = request.headers[.range], condition == nil || condition == tag || condition == date {
            guard let asked = Self.range(text, of: entry.size) else {
                var refusal = restFailure(
                    "the range cannot be had: \(entry.path) has \(entry.size) bytes", .rangeNotSatisfiable)
                refusal.headers[.contentRange] = "bytes */\(entry.size)"
                return refusal
            }
            range = asked
            status = .partialContent
            headers[.contentRange] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(entry.size)"
        }
        if request.method == .head {
            headers[.contentLength] = String(range.count)
            return Response(status: status, headers: headers)
        }
        return Response(status: status, headers: headers, body: try await body(range))
    }

    /// nil for one that does not lie in the file, and for several.
    static func range(_ text: String, of size: Int64) -> Range<Int64>? {
        guard text.hasPrefix("bytes="), !text.contains(",") else { return nil }
        let ends = text.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2 else { return nil }
        if ends[0].isEmpty {
            guard let count = Int64(ends[1]), count > 0, size > 0 else { return nil }
            return max(0, size - count)..<size
        }
        guard let first = Int64(ends[0]), first >= 0, first < size else { return nil }
        if ends[1].isEmpty { return first..<size }
        guard let last = Int64(ends[1]), last >= first else { return nil }
        return first..<(min(last, size - 1) + 1)
    }

    private func body(_ range: Range<Int64>) async throws(DatabaseError) -> ResponseBody {
        guard let source = endpoint.fileSource else { return try await body(ofParts: range) }
        let files = try await source.openFiles(of: selection.scan)
        let entry = entry
        let open = try await Threads.run { () throws(DatabaseError) in
            OpenFile(files: files, entry: entry, descriptor: try files.open(entry))
        }
        return ResponseBody(contentLength: range.count) { writer in
            var offset = range.lowerBound
            while offset < range.upperBound {
                let buffer = try await open.read(at: offset, limit: range.upperBound - offset)
                offset += Int64(buffer.readableBytes)
                try await writer.write(buffer)
            }
            try await writer.finish(nil)
        }
    }

    /// The general way, which reads what stands before the range too.
    private func body(ofParts range: Range<Int64>) async throws(DatabaseError) -> ResponseBody {
        let parts = try await endpoint.parts(of: selection)
        return ResponseBody(contentLength: range.count) { writer in
            var position: Int64 = 0
            for try await part in parts {
                guard case .bytes(var buffer) = part, position < range.upperBound else { continue }
                let start = position
                position += Int64(buffer.readableBytes)
                let low = max(range.lowerBound, start) - start
                let high = min(range.upperBound, position) - start
                guard low < high else { continue }
                buffer.moveReaderIndex(forwardBy: Int(low))
                guard let slice = buffer.readSlice(length: Int(high - low)) else { continue }
                try await writer.write(slice)
            }
            try await writer.finish(nil)
        }
    }

    /// Closes its descriptor when the answer is over, however it ends.
    private final class OpenFile: Sendable {
        let files: any LocalScanFiles
        let entry: FileEntry
        let descriptor: CInt

        init(files: any LocalScanFiles, entry: FileEntry, descriptor: CInt) {
            self.files = files
            self.entry = entry
            self.descriptor = descriptor
        }

        deinit { close(descriptor) }

        /// At most 256 KiB; at the file's end it sees that the file is what its headers said.
        func read(at offset: Int64, limit: Int64) async throws(DatabaseError) -> ByteBuffer {
            try await Threads.run { () throws(DatabaseError) in
                let wanted = Int(min(256 << 10, limit))
                var buffer = ByteBufferAllocator().buffer(capacity: wanted)
                var number: CInt = 0
                buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { bytes in
                    var count = -1
                    repeat {
                        count = pread(self.descriptor, bytes.baseAddress, wanted, off_t(offset))
                    } while count < 0 && errno == EINTR
                    if count < 0 { number = errno }
                    return max(0, count)
                }
                guard number == 0, buffer.readableBytes > 0 else {
                    throw DatabaseError(
                        number == 0 ? .sourceChanged : .io, "cannot read \(self.entry.path) to its end",
                        cause: number == 0 ? nil : String(cString: strerror(number)))
                }
                if Int64(buffer.readableBytes) == limit {
                    try self.files.confirm(self.entry, descriptor: self.descriptor)
                }
                return buffer
            }
        }
    }

    static func mediaType(of name: some StringProtocol) -> String {
        switch name.split(separator: ".").last?.lowercased() {
        case "jpg", "jpeg": "image/jpeg"
        case "png": "image/png"
        case "tif", "tiff": "image/tiff"
        case "json": "application/json"
        case "txt", "toml", "log": "text/plain; charset=utf-8"
        case "csv": "text/csv; charset=utf-8"
        case "zip": "application/zip"
        default: "application/octet-stream"
        }
    }
}

extension HTTPField.Name {
    fileprivate static let xContentTypeOptions = Self("X-Content-Type-Options")!  // a valid token
}

extension Substring {
    fileprivate func trimming(_ isTrimmed: (Character) -> Bool) -> Substring {
        var text = drop(while: isTrimmed)
        while let last = text.last, isTrimmed(last) { text.removeLast() }
        return text
    }
}

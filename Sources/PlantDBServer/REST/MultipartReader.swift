import Glibc
import NIOCore
import PlantDBCore

/// Reads a form with files (RFC 7578; multipart bodies, RFC 2046, section 5.1) as it comes.
///
/// Memory: one received buffer, and 16 KiB of a part's headers at most.
actor MultipartReader {
    /// A part's headers.
    struct Part: Sendable, Hashable {
        var name: String
        /// nil for a field.
        var fileName: String?
        var contentType: String?
    }

    private enum State {
        case beforeFirst
        case headers
        case content
        case over
    }

    private let pull: @Sendable () async throws(DatabaseError) -> ByteBuffer?
    /// With the line's end before it, which belongs to it.
    private let delimiter: [UInt8]
    private var input: ByteBuffer
    private var state = State.beforeFirst
    private var hasEnded = false

    private static let maximumHeaderBytes = 16 << 10

    init(boundary: String, pull: @escaping @Sendable () async throws(DatabaseError) -> ByteBuffer?) {
        self.pull = pull
        delimiter = Array("\r\n--\(boundary)".utf8)
        // So that the first delimiter is like the others.
        input = ByteBuffer(string: "\r\n")
    }

    /// The boundary that a `Content-Type` names; nil if it is no form with files.
    static func boundary(of contentType: String?) -> String? {
        guard let contentType, contentType.lowercased().hasPrefix("multipart/form-data") else { return nil }
        let boundary = parameter("boundary", of: contentType[...])
        guard let boundary, !boundary.isEmpty, boundary.utf8.count <= 70 else { return nil }
        return boundary
    }

    /// Passes over what is left of the part before; nil when the whole body has come, with what may follow the
    /// last boundary.
    ///
    /// - Throws: `invalidData` for what is no such form, or is cut.
    func nextPart() async throws(DatabaseError) -> Part? {
        while state == .beforeFirst || state == .content { _ = try await nextBytes() }
        guard state == .headers else {
            while !hasEnded { hasEnded = try await pull() == nil }
            return nil
        }
        let end = Array("\r\n\r\n".utf8)
        // A part without headers has an empty line at once; it has no name, and is refused with those.
        while true {
            if let length = Self.find(end, in: input) {
                let text = input.readString(length: length) ?? ""
                input.moveReaderIndex(forwardBy: end.count)
                state = .content
                // Its content may be empty, and the delimiter then begins with these.
                return try Self.part(text)
            }
            guard input.readableBytes <= Self.maximumHeaderBytes else {
                throw Self.invalid("the headers of a part are too long")
            }
            try await fill()
        }
    }

    /// The next bytes of the part; nil at its end.
    ///
    /// - Throws: as ``nextPart()``.
    func nextBytes() async throws(DatabaseError) -> ByteBuffer? {
        guard state == .beforeFirst || state == .content else { return nil }
        while true {
            if let length = Self.find(delimiter, in: input) {
                if length > 0, let bytes = input.readSlice(length: length) { return bytes }
                try await passDelimiter()
                return nil
            }
            // What may be the beginning of a delimiter stays.
            let safe = input.readableBytes - (delimiter.count - 1)
            if safe > 0, let bytes = input.readSlice(length: safe) { return bytes }
            try await fill()
        }
    }

    private func passDelimiter() async throws(DatabaseError) {
        while input.readableBytes < delimiter.count + 2 { try await fill() }
        input.moveReaderIndex(forwardBy: delimiter.count)
        switch input.readString(length: 2) {
        case "\r\n": state = .headers
        case "--": state = .over
        default: throw Self.invalid("a boundary is followed by something else than a part")
        }
    }

    private func fill() async throws(DatabaseError) {
        guard !hasEnded, let more = try await pull() else {
            hasEnded = true
            throw Self.invalid("it ends before its last boundary")
        }
        if input.readableBytes == 0 {
            input = more
        } else {
            var joined = ByteBufferAllocator().buffer(capacity: input.readableBytes + more.readableBytes)
            joined.writeImmutableBuffer(input)
            joined.writeImmutableBuffer(more)
            input = joined
        }
    }

    /// Offset of `pattern` from the reader index.
    private static func find(_ pattern: [UInt8], in buffer: ByteBuffer) -> Int? {
        buffer.withUnsafeReadableBytes { bytes in
            guard let base = bytes.baseAddress else { return nil }
            var start = 0
            while start + pattern.count <= bytes.count {
                let rest = bytes.count - pattern.count + 1 - start
                guard let found = memchr(base + start, CInt(pattern[0]), rest) else { return nil }
                let offset = base.distance(to: UnsafeRawPointer(found))
                if memcmp(base + offset, pattern, pattern.count) == 0 { return offset }
                start = offset + 1
            }
            return nil
        }
    }

    private static func part(_ text: String) throws(DatabaseError) -> Part {
        var part = Part(name: "")
        for line in text.split(separator: "\r\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...]
            switch line[..<colon].lowercased() {
            case "content-disposition":
                part.name = parameter("name", of: value) ?? ""
                part.fileName = parameter("filename", of: value)
            case "content-type":
                part.contentType = value.split(separator: ";").first.map {
                    $0.filter { $0 != " " }.lowercased()
                }
            default: break
            }
        }
        guard !part.name.isEmpty else { throw invalid("a part has no name") }
        return part
    }

    /// `; name="value"` or `; name=value` (RFC 9110, section 5.6.6).
    private static func parameter(_ name: String, of value: Substring) -> String? {
        var rest = value
        while let semicolon = rest.firstIndex(of: ";") {
            rest = rest[rest.index(after: semicolon)...].drop { $0 == " " }
            guard let equals = rest.firstIndex(of: "=") else { return nil }
            let key = rest[..<equals].lowercased()
            rest = rest[rest.index(after: equals)...]
            var text = ""
            if rest.first == "\"" {
                rest = rest.dropFirst()
                while let character = rest.popFirst(), character != "\"" {
                    if character == "\\", let next = rest.popFirst() {
                        text.append(next)
                    } else {
                        text.append(character)
                    }
                }
            } else {
                text = String(rest.prefix { $0 != ";" && $0 != " " })
                rest = rest.dropFirst(text.count)
            }
            if key == name { return text }
        }
        return nil
    }

    private static func invalid(_ what: String) -> DatabaseError {
        DatabaseError(.invalidData, "the upload is no form as RFC 7578 has it, or was cut: \(what)")
    }
}

import NIOCore
import PlantDBTesting
import Testing

@testable import PlantDBCore
@testable import PlantDBWire

@Suite struct PeerFrameTests {
    /// Two files, a directory, a failure, what is skipped, and the end.
    private func stream() throws -> ByteBuffer {
        var buffer = ByteBuffer()
        let digest = Digest(of: Array("content".utf8))
        func entry(_ path: String, _ kind: FileEntry.Kind = .file, size: Int64) throws -> FileEntry {
            FileEntry(
                path: try ScanPath(path), kind: kind, size: size,
                modified: ModificationTime(nanoseconds: 1_700_000_000_123_456_789), mode: 0o640)
        }
        PeerFrameEncoder.encode(.entry(try entry("images", .directory, size: 0)), into: &buffer)
        PeerFrameEncoder.encode(.fileEnd(nil), into: &buffer)
        PeerFrameEncoder.encode(.entry(try entry("images/a “b”.jpg", size: 7)), into: &buffer)
        PeerFrameEncoder.encode(.bytes(ByteBuffer(string: "content")), into: &buffer)
        PeerFrameEncoder.encode(.fileEnd(digest), into: &buffer)
        PeerFrameEncoder.encode(.entry(try entry("z", size: 3)), into: &buffer)
        PeerFrameEncoder.encode(
            .failed(DatabaseError(.sourceChanged, "it changed", cause: "why", path: "z")), into: &buffer)
        PeerFrameEncoder.encode(
            .skipped(SkippedEntry(path: "link", reason: .symbolicLink, detail: "to x")), into: &buffer)
        PeerFrameEncoder.encode(.end(count: 3), into: &buffer)
        return buffer
    }

    /// What a decoder says, a line a frame, pieces of bytes joined.
    private func decode(_ pieces: [ByteBuffer]) throws -> [String] {
        var decoder = PeerFrameDecoder()
        var lines: [String] = []
        for piece in pieces {
            decoder.feed(piece)
            while let frame = try decoder.next() {
                switch frame {
                case .entry(let entry): lines.append("entry \(entry)")
                case .bytes(let bytes):
                    if lines.last?.hasPrefix("bytes ") == true {
                        lines[lines.count - 1] += String(buffer: bytes)
                    } else {
                        lines.append("bytes " + String(buffer: bytes))
                    }
                case .fileEnd(let digest): lines.append("end \(digest?.description ?? "-")")
                case .failed(let error):
                    lines.append("failed \(error.code) \(error) \(error.path ?? "-")")
                case .skipped(let entry): lines.append("skipped \(entry)")
                case .end(let count): lines.append("all \(count)")
                }
            }
        }
        try decoder.finish()
        return lines
    }

    @Test("What was encoded is decoded, however it is cut")
    func roundTrip() throws {
        let whole = try stream()
        let lines = try decode([whole])
        #expect(lines.count == 9)
        #expect(lines[2].contains("images/a “b”.jpg") && lines[3] == "bytes content")
        #expect(lines[6].contains("sourceChanged it changed (why) z"))
        let single = (0..<whole.readableBytes).map {
            // Within the readable bytes.
            whole.getSlice(at: $0, length: 1)!
        }
        #expect(try decode(single) == lines)
    }

    @Test("A stream that is cut anywhere is never taken for a whole one")
    func truncations() throws {
        let whole = try stream()
        for length in 0..<whole.readableBytes {
            // Within the readable bytes.
            let cut = whole.getSlice(at: 0, length: length)!
            #expect(throws: DatabaseError.self, "cut at \(length)") { try decode([cut]) }
        }
    }

    @Test("A damaged byte is never delivered as a whole stream")
    func damage() throws {
        let whole = try stream()
        for position in 0..<whole.readableBytes {
            for bit in 0..<8 {
                var damaged = whole
                // Within the readable bytes.
                let byte: UInt8 = damaged.getInteger(at: position)!
                damaged.setInteger(byte ^ (1 << bit), at: position)
                #expect(throws: DatabaseError.self, "bit \(bit) of byte \(position)") {
                    try decode([damaged])
                }
            }
        }
    }

    @Test("Hostile frames are refused before they are believed")
    func hostile() throws {
        var long = ByteBuffer()
        long.writeInteger(UInt8(3))
        long.writeInteger(UInt32.max)
        long.writeInteger(UInt32(0))
        #expect(throws: DatabaseError.self) { try decode([long]) }
        for path in ["../x", "/etc/passwd", "a//b", "a\\b", "a/./b", ""] {
            var buffer = ByteBuffer()
            let entry = FileEntry(path: ScanPath(unchecked: path), size: 1)
            PeerFrameEncoder.encode(.entry(entry), into: &buffer)
            #expect(throws: DatabaseError.self, "\(path)") { try decode([buffer]) }
        }
        var after = try stream()
        PeerFrameEncoder.encode(.fileEnd(nil), into: &after)
        #expect(throws: DatabaseError.self) { try decode([after]) }
    }

    /// Lengths around those that the processor does in one go.
    @Test(
        "The checksum is that of RFC 3720, whatever the length",
        arguments: [0, 7, 6143, 6144, 6145, 20_001])
    func checksum(_ length: Int) {
        var random = SplitMix64(seed: UInt64(length))
        let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
        var slow: UInt32 = ~0
        for byte in bytes {
            slow ^= UInt32(byte)
            for _ in 0..<8 { slow = slow & 1 == 1 ? slow >> 1 ^ 0x82f6_3b78 : slow >> 1 }
        }
        #expect(CRC32C.of(ByteBuffer(bytes: bytes).readableBytesView) == ~slow)
        #expect(CRC32C.of(ByteBuffer(string: "123456789").readableBytesView) == 0xe306_9283)
    }

    @Test("Messages survive the way")
    func messages() throws {
        let scan = try ScanID("plant_1")
        let entry = FileEntry(
            path: try ScanPath("images/ä.jpg"), size: 5, modified: ModificationTime(nanoseconds: -5),
            mode: 0o600)
        let read = PeerReadRequest(scan: scan, entries: [entry], offset: 3)
        #expect(try PeerReadRequest(parsing: read.encoded()) == read)
        let begin = PeerBegin(
            scan: scan, base: ScanRevision(rawValue: "r"),
            options: TransactionOptions(durability: .always, trash: "run-1", verifiesContent: true))
        #expect(try PeerBegin(parsing: begin.encoded()) == begin)
        let lock = PeerLockRequest(scope: .scan(scan), mode: .exclusive, wait: 1.5)
        #expect(try PeerLockRequest(parsing: lock.encoded()) == lock)
        let hello = PeerHello(
            version: "1", identity: "i", capabilities: EndpointCapabilities(weakerGuarantees: ["w"]),
            mayWrite: true)
        #expect(try PeerHello(parsing: hello.encoded()) == hello)
        let error = DatabaseError(.locked, "locked by somebody", cause: "c", scan: scan, path: "p")
        let back = try #require(DatabaseError(peerBody: error.peerBody))
        #expect(back.code == .locked && back.description == error.description && back.scan == scan)
        #expect(DatabaseError(peerBody: Array("<html>".utf8)) == nil)
        var trash = begin
        trash.options.trash = "../outside"
        #expect(throws: DatabaseError.self) { try PeerBegin(parsing: trash.encoded()) }
    }
}

import NIOCore
import PlantDBTesting
import Testing

@testable import ZipStream

/// F13: archives that want to write elsewhere, to fill the disk, or to show two readers two contents.
@Suite struct HostileArchiveTests {
    private func code(_ read: () throws -> [Sample]) -> ZipError.Code? {
        do {
            _ = try read()
            return nil
        } catch { return (error as? ZipError)?.code }
    }

    /// An archive of one file whose name is exchanged for another of the same length, everywhere.
    private func archive(named name: [UInt8], flags: UInt16? = nil) throws -> [UInt8] {
        let own = [UInt8](repeating: UInt8(ascii: "q"), count: name.count)
        var bytes = try Archive.write([
            Sample(path: String(decoding: own, as: UTF8.self), content: [1, 2, 3])
        ])
        for place in 0...(bytes.count - own.count) where Array(bytes[place..<place + own.count]) == own {
            bytes.replaceSubrange(place..<place + own.count, with: name)
        }
        if let flags {
            bytes[6] = UInt8(flags & 0xff)
            bytes[7] = UInt8(flags >> 8)
        }
        return bytes
    }

    @Test(
        "Names that lead elsewhere are refused",
        arguments: [
            "/etc/passwd", "../x", "a/../../x", "a/./b", "a//b", "..", ".", "C:/x", "C:x", "a\\b", "..\\x",
            "a\0b", "./a", "a/..", "//x",
        ])
    func names(_ name: String) throws {
        let bytes = try archive(named: Array(name.utf8))
        #expect(code { try Archive.read(bytes) } == .invalidName)
        #expect(code { try Archive.readByDirectory(bytes) } == .invalidName)
        #expect(throws: ZipError.self) {
            var writer = ZipWriter()
            _ = try writer.begin(name, size: 0, modified: 0, method: .stored)
        }
    }

    @Test("Names that are not UTF-8, or do not say that they are, are refused")
    func encodings() throws {
        #expect(code { try Archive.read(archive(named: [0xff, 0xfe])) } == .invalidName)
        let umlaut = try archive(named: Array("ü".utf8), flags: ZipRecord.hasDescriptor)
        #expect(code { try Archive.read(umlaut) } == .invalidName)
    }

    @Test("No name twice, and no file where another has a folder")
    func twice() throws {
        for (one, other) in [("a/b", "a/b"), ("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b")] {
            let placeholder = String(repeating: "q", count: other.utf8.count)
            var bytes = try Archive.write([
                Sample(path: one, content: [1]), Sample(path: placeholder, content: [2]),
            ])
            let from = Array(placeholder.utf8)
            for place in 0...(bytes.count - from.count)
            where Array(bytes[place..<place + from.count]) == from {
                bytes.replaceSubrange(place..<place + from.count, with: Array(other.utf8))
            }
            #expect(code { try Archive.read(bytes) } == .corrupt, "\(one) \(other)")
            #expect(code { try Archive.readByDirectory(bytes) } == .corrupt)
        }
    }

    @Test("What is encrypted, or compressed in another way, is refused")
    func unsupported() throws {
        let plain = try archive(named: Array("a".utf8))
        for bit in [0, 5, 6, 13] as [UInt16] {
            let bytes = try archive(named: Array("a".utf8), flags: ZipRecord.hasDescriptor | 1 << bit)
            #expect(code { try Archive.read(bytes) } == .unsupported)
        }
        var bytes = plain
        bytes[8] = 12
        #expect(code { try Archive.read(bytes) } == .unsupported)
    }

    /// Where the directory's first record begins.
    private func directory(_ bytes: [UInt8]) throws -> Int {
        Int(
            try ZipDirectory.locate(in: ByteBuffer(bytes: bytes), archiveSize: Int64(bytes.count)).range
                .lowerBound)
    }

    @Test("A symbolic link or a device is refused, though only the directory says so")
    func links() throws {
        for mode in [0o120777, 0o060644, 0o010644, 0o020644] {
            var bytes = try archive(named: Array("a".utf8))
            let place = try directory(bytes) + 38
            bytes[place + 2] = UInt8(mode & 0xff)
            bytes[place + 3] = UInt8(mode >> 8)
            #expect(code { try Archive.read(bytes) } == .unsupported)
            #expect(code { try Archive.readByDirectory(bytes) } == .unsupported)
        }
    }

    @Test("A directory that says something else than the entries is refused")
    func contradictions() throws {
        let bytes = try Archive.write([
            Sample(path: "abc", content: [1, 2, 3]), Sample(path: "def", content: [4]),
        ])
        let start = try directory(bytes)
        // Checksum, sizes, name and place in the first record; the number of entries at the end.
        for place in [16, 20, 24, 42, 46] {
            var other = bytes
            other[start + place] ^= 1
            #expect(throws: ZipError.self, "byte \(place)") { try Archive.read(other) }
        }
        var fewer = bytes
        let end = bytes.count - 22
        for place in [8, 10] { fewer[end + place] = 1 }
        #expect(throws: ZipError.self) { try Archive.read(fewer) }
        #expect(throws: ZipError.self) { try Archive.readByDirectory(fewer) }
    }

    @Test("Entries that lie one over another are refused")
    func overlap() throws {
        let bytes = try Archive.write([
            Sample(path: "abc", content: [1, 2, 3]), Sample(path: "def", content: [4]),
        ])
        let start = try directory(bytes)
        var second = start
        repeat { second += 1 } while !bytes[second...].starts(with: [0x50, 0x4b, 1, 2])
        var other = bytes
        for index in 42..<46 { other[second + index] = 0 }
        #expect(code { try Archive.readByDirectory(other) } == .corrupt)
        #expect(code { try Archive.read(other) } == .corrupt)
    }

    @Test("A small archive of a large file is stopped at the limit, and at what it says")
    func bombs() throws {
        let zeros = [UInt8](repeating: 0, count: 20_000_000)
        var bytes = try Archive.write([Sample(path: "zeros", content: zeros, method: .deflated)])
        #expect(bytes.count < 100_000)
        var limits = ZipLimits()
        limits.totalSize = 1_000_000
        #expect(code { try Archive.read(bytes, limits: limits) } == .tooLarge)
        limits = ZipLimits()
        limits.entries = 0
        #expect(code { try Archive.read(bytes, limits: limits) } == .tooLarge)
        // The directory says ten bytes.
        let place = try directory(bytes) + 24
        bytes.replaceSubrange(place..<place + 4, with: [10, 0, 0, 0])
        #expect(code { try Archive.readByDirectory(bytes) } == .tooLarge)
        #expect(code { try Archive.read(bytes) } == .corrupt)
    }

    @Test("What is compressed more than anything real is a bomb, as one file and as many")
    func ratio() throws {
        let zeros = [UInt8](repeating: 0, count: 3_000_000)
        let one = try Archive.write([Sample(path: "zeros", content: zeros, method: .deflated)])
        let many = try Archive.write(
            (0..<8).map { Sample(path: "\($0)", content: Array(zeros.prefix(500_000)), method: .deflated) })
        var limits = ZipLimits()
        limits.freeSize = 1_000_000
        for bytes in [one, many] {
            #expect(code { try Archive.read(bytes, step: 1000, limits: limits) } == .tooLarge)
            #expect(code { try Archive.readByDirectory(bytes, limits: limits) } == .tooLarge)
            #expect(try Archive.read(bytes) == Archive.readByDirectory(bytes))
        }
        // What its header says counts for nothing.
        var lying = one
        let place = try directory(one) + 20
        lying.replaceSubrange(place..<place + 4, with: [0, 0, 16, 0])
        #expect(code { try Archive.read(lying, limits: limits) } == .tooLarge)
        // A large file that compresses well is none, nor are small ones that are all the same.
        var generator = SplitMix64(seed: 3)
        let text = (0..<3_000_000).map { _ in UInt8(generator.next() % 2) }
        let honest = [Sample(path: "a", content: text, method: .deflated)]
        #expect(try Archive.read(Archive.write(honest), limits: limits) == honest)
        let small = [Sample(path: "a", content: Array(zeros.prefix(900_000)), method: .deflated)]
        #expect(try Archive.read(Archive.write(small), limits: limits) == small)
    }

    @Test(
        "What is no archive says so", arguments: ["", "<!doctype html><html>", "PK", "hello, world, hello"])
    func noArchive(_ text: String) {
        let bytes = Array(text.utf8)
        #expect([.notAZip, .truncated].contains(code { try Archive.read(bytes) }))
        #expect(code { try Archive.readByDirectory(bytes) } == .notAZip)
    }

    @Test("The writer takes neither more nor less than was announced")
    func misuse() throws {
        var writer = ZipWriter()
        _ = try writer.begin("a", size: 2, modified: 0, method: .stored)
        #expect(throws: ZipError(.misuse, "more content than was announced")) {
            _ = try writer.write(ByteBuffer(bytes: [1, 2, 3]))
        }
        _ = try writer.write(ByteBuffer(bytes: [1]))
        #expect(throws: ZipError.self) { _ = try writer.end() }
        #expect(throws: ZipError.self) { _ = try writer.finish() }
    }
}

import Foundation
import NIOCore
import PlantDBTesting
import Testing

@testable import ZipStream

/// Archives, both ways, and with Python's zipfile in between.
@Suite struct ZipStreamTests {
    /// What comes back: nothing is deflated of nothing, and times beyond 32 bits are not kept.
    private var expected: [Sample] {
        Archive.samples().map { sample in
            var sample = sample
            if sample.content.isEmpty { sample.method = .stored }
            if sample.modified > Int64(Int32.max) { sample.modified = 0 }
            return sample
        }
    }

    @Test("What is written is read, as a stream and by the directory")
    func roundTrip() throws {
        let bytes = try Archive.write(Archive.samples())
        #expect(try Archive.read(bytes) == expected)
        #expect(try Archive.read(bytes, step: 1) == expected)
        #expect(try Archive.read(bytes, step: 4099) == expected)
        #expect(try Archive.readByDirectory(bytes) == expected)
        #expect(try Archive.read(Archive.write([])) == [])
        #expect(try Archive.readByDirectory(Archive.write([])) == [])
    }

    @Test("The size of a stored archive is known before its first byte")
    func exactSize() throws {
        var samples = Archive.samples()
        for index in samples.indices { samples[index].method = .stored }
        let size = try ZipWriter.exactSize(
            of: samples.map { (path: $0.path, size: Int64($0.content.count), modified: $0.modified) })
        #expect(try Int64(Archive.write(samples).count) == size)
        // Beyond 4 GiB in all, and in one file; and more than 65,535 entries.
        let gigabyte = Int64(1) << 30
        let many: [(path: String, size: Int64, modified: Int64)] = (0..<70_000).map { ("f\($0)", 0, 0) }
        let small = try ZipWriter.exactSize(of: many)
        #expect(small > 70_000 * 76)
        let two: [(path: String, size: Int64, modified: Int64)] = [
            ("a", 6 * gigabyte, 0), ("b", gigabyte, 0),
        ]
        let large = try ZipWriter.exactSize(of: two)
        #expect(large > 7 * gigabyte && large < 7 * gigabyte + 1000)
    }

    @Test("More than 65,535 entries are read back, and beyond 4 GiB the places are right")
    func zip64() throws {
        var writer = ZipWriter()
        var bytes = ByteBuffer()
        for index in 0..<66_000 {
            bytes.writeImmutableBuffer(
                try writer.begin("\(index)", size: 0, modified: 0, method: .stored))
            bytes.writeImmutableBuffer(try writer.end())
        }
        bytes.writeImmutableBuffer(try writer.finish())
        let whole = Array(bytes.readableBytesView)
        #expect(try Archive.read(whole, step: 100_000).count == 66_000)
        #expect(try Archive.readByDirectory(whole).count == 66_000)

        // 5 GiB of the same megabyte, which is not kept.
        var large = ZipWriter()
        var reader = ZipReader()
        let block = ByteBuffer(repeating: 7, count: 1 << 20)
        var received: Int64 = 0
        var ends: [ZipEntry] = []
        func pass(_ buffer: ByteBuffer, _ reader: inout ZipReader) throws(ZipError) {
            reader.push(buffer)
            while let event = try reader.next() {
                switch event {
                case .data(let data): received += Int64(data.readableBytes)
                case .end(let entry): ends.append(entry)
                case .begin: break
                }
            }
        }
        for (name, blocks) in [("large", 4097), ("behind", 1)] {
            try pass(
                try large.begin(name, size: Int64(blocks) << 20, modified: 1, method: .stored), &reader)
            for _ in 0..<blocks { for part in try large.write(block) { try pass(part, &reader) } }
            try pass(try large.end(), &reader)
        }
        try pass(try large.finish(), &reader)
        try reader.finish()
        #expect(received == 4098 << 20 && ends.map(\.size) == [4097 << 20, 1 << 20])
        #expect(ends.last.map { $0.offset > 4 << 30 } == true)
    }

    @Test("An archive that is cut anywhere is not taken for whole")
    func truncations() throws {
        var samples = Archive.samples()
        for index in samples.indices { samples[index].content = Array(samples[index].content.prefix(150)) }
        let bytes = try Archive.write(samples)
        for length in 0..<bytes.count {
            #expect(throws: ZipError.self, "\(length) bytes") {
                try Archive.read(Array(bytes.prefix(length)))
            }
            #expect(throws: ZipError.self) { try Archive.readByDirectory(Array(bytes.prefix(length))) }
        }
        #expect(throws: ZipError.self) { try Archive.read(bytes + [0]) }
        #expect(throws: ZipError.self) { try Archive.read([0] + bytes) }
        #expect(throws: ZipError.self) { try Archive.readByDirectory([0] + bytes) }
    }

    @Test("No damage of one byte passes for other content, and nothing crashes")
    func mutations() throws {
        var samples = Archive.samples()
        for index in samples.indices { samples[index].content = Array(samples[index].content.prefix(300)) }
        let bytes = try Archive.write(samples)
        let whole = try Archive.read(bytes)
        for seed in TestSeed.rounds(20_000, from: 71_000) {
            var generator = seed.generator
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let place = Int.random(in: 0..<damaged.count, using: &generator)
                damaged[place] = UInt8.random(in: 0...255, using: &generator)
            }
            for read in [{ try Archive.read(damaged) }, { try Archive.readByDirectory(damaged) }] {
                do {
                    let found = try read()
                    // Names and times have no checksum; content has one.
                    #expect(found.map(\.content) == whole.map(\.content), "\(seed)")
                } catch { #expect(error is ZipError) }
            }
        }
    }

    @Test("Python reads what is written", .enabled(if: Archive.hasPython, "NOT TESTED: no Python"))
    func pythonReads() throws {
        let folder = try TemporaryDirectory()
        let file = folder.appending("a.zip")
        try writeFile(file, Archive.write(Archive.samples()))
        let program = """
            import sys, zipfile, zlib
            z = zipfile.ZipFile(sys.argv[1])
            assert z.testzip() is None
            for i in z.infolist(): print(i.filename, i.file_size, zlib.crc32(z.read(i)), i.date_time[:3])
            """
        let lines = try Archive.python(program, file).split(separator: "\n")
        var crc = RunningCRC32()
        crc.update(ByteBuffer(bytes: Archive.samples()[2].content))
        #expect(lines.count == 7)
        #expect(lines[2] == "scan/images/0.jpg 100000 \(crc.value) (2023, 11, 14)")
        #expect(lines[3].hasPrefix("scan/images/größe 植物.png 3 "))
        try folder.remove()
    }

    @Test(
        "What Python writes is read: to a file, to a pipe, with sizes of 64 bits",
        .enabled(if: Archive.hasPython, "NOT TESTED: no Python"))
    func pythonWrites() throws {
        let folder = try TemporaryDirectory()
        let program = """
            import sys, zipfile
            class Pipe:
                def __init__(self, f): self.f = f
                def write(self, b): return self.f.write(b)
                def flush(self): self.f.flush()
            how, method, path = sys.argv[1:]
            f = open(path, "wb")
            z = zipfile.ZipFile(Pipe(f) if how == "pipe" else f, "w", getattr(zipfile, method))
            for name in ["a.txt", "b/c.bin", "ü.txt"]:
                with z.open(name, "w", force_zip64=(how == "64")) as e: e.write(name.encode() * 5000)
            z.writestr("d/", "")
            z.close(); f.close()
            """
        for how in ["file", "pipe", "64"] {
            for method in ["ZIP_STORED", "ZIP_DEFLATED"] {
                let file = folder.appending("\(how)-\(method).zip")
                _ = try Archive.python(program, how, method, file)
                let bytes = try bytesOnDisk(file)
                let expected = ["a.txt", "b/c.bin", "ü.txt"].map {
                    Array(repeating: Array($0.utf8), count: 5000).flatMap(\.self)
                }
                #expect(
                    try Archive.readByDirectory(bytes).map(\.content) == expected + [[]], "\(how) \(method)")
                if how == "pipe", method == "ZIP_STORED" {
                    let error = #expect(throws: ZipError.self) { try Archive.read(bytes) }
                    #expect(error?.code == .needsRandomAccess)
                } else {
                    #expect(
                        try Archive.read(bytes, step: 777).map(\.content) == expected + [[]],
                        "\(how) \(method)")
                }
            }
        }
        try folder.remove()
    }
}

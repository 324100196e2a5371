import Foundation
import NIOCore
import PlantDBTesting

@testable import ZipStream

/// One file of a test's archive.
struct Sample: Equatable {
    var path: String
    var content: [UInt8]
    var method = ZipEntry.Method.stored
    var modified: Int64 = 1_700_000_001
}

enum Archive {
    static func samples() -> [Sample] {
        var generator = SplitMix64(seed: 11)
        return [
            Sample(path: "scan/files.json", content: Array("{\"filesets\": []}".utf8), method: .deflated),
            Sample(path: "scan/empty/", content: []),
            Sample(path: "scan/images/0.jpg", content: generator.bytes(100_000)),
            Sample(path: "scan/images/größe 植物.png", content: generator.bytes(3), modified: -5),
            Sample(path: "scan/nothing.txt", content: [], method: .deflated),
            Sample(
                path: "scan/text.txt",
                content: Array(repeating: Array("leaf ".utf8), count: 90_000).flatMap(\.self),
                method: .deflated, modified: 5_000_000_000),
            Sample(path: "scan/noise.bin", content: generator.bytes(300_000), method: .deflated),
        ]
    }

    static func write(_ samples: [Sample]) throws(ZipError) -> [UInt8] {
        var writer = ZipWriter()
        var result = ByteBuffer()
        for sample in samples {
            result.writeImmutableBuffer(
                try writer.begin(
                    sample.path, size: Int64(sample.content.count), modified: sample.modified,
                    method: sample.method))
            // In pieces of odd sizes.
            var rest = sample.content[...]
            while !rest.isEmpty {
                let piece = rest.prefix(70_001)
                rest = rest.dropFirst(piece.count)
                for part in try writer.write(ByteBuffer(bytes: piece)) { result.writeImmutableBuffer(part) }
            }
            result.writeImmutableBuffer(try writer.end())
        }
        result.writeImmutableBuffer(try writer.finish())
        return Array(result.readableBytesView)
    }

    /// Through the stream, in pieces of `step` bytes.
    static func read(_ bytes: [UInt8], step: Int = .max, limits: ZipLimits = ZipLimits()) throws(ZipError)
        -> [Sample]
    {
        var reader = ZipReader(limits: limits)
        var result: [Sample] = []
        var rest = bytes[...]
        repeat {
            let piece = rest.prefix(min(step, rest.count))
            rest = rest.dropFirst(piece.count)
            reader.push(ByteBuffer(bytes: piece))
            while let event = try reader.next() {
                switch event {
                case .begin(let entry):
                    result.append(
                        Sample(
                            path: entry.path + (entry.isDirectory ? "/" : ""), content: [],
                            method: entry.method, modified: entry.modified ?? 0))
                case .data(let data): result[result.count - 1].content += data.readableBytesView
                case .end: break
                }
            }
        } while !rest.isEmpty
        try reader.finish()
        return result
    }

    /// By the directory and ranges.
    static func readByDirectory(_ bytes: [UInt8], limits: ZipLimits = ZipLimits()) throws(ZipError)
        -> [Sample]
    {
        let tail = ByteBuffer(bytes: bytes.suffix(ZipDirectory.tailSize))
        let location = try ZipDirectory.locate(in: tail, archiveSize: Int64(bytes.count))
        let range = Int(location.range.lowerBound)..<Int(location.range.upperBound)
        let directory = try ZipDirectory(ByteBuffer(bytes: bytes[range]), at: location, limits: limits)
        var result: [Sample] = []
        for entry in directory.entries {
            var sample = Sample(
                path: entry.path + (entry.isDirectory ? "/" : ""), content: [], method: entry.method,
                modified: entry.modified ?? 0)
            var reader = ZipEntryReader(entry)
            let range = directory.range(of: entry)
            for start in stride(from: Int(range.lowerBound), to: Int(range.upperBound), by: 1000) {
                reader.push(ByteBuffer(bytes: bytes[start..<min(start + 1000, Int(range.upperBound))]))
                while let data = try reader.next() { sample.content += data.readableBytesView }
            }
            try reader.finish()
            result.append(sample)
        }
        return result
    }

    /// Runs Python with the text as its program; what it prints.
    static func python(_ program: String, _ arguments: String...) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-c", program] + arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw ZipError(.misuse, "Python failed") }
        return String(decoding: data, as: UTF8.self)
    }

    static let hasPython = (try? python("")) != nil
}

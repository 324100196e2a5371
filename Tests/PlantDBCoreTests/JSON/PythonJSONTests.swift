import Foundation
import PlantDBCore
import Testing

/// Holds our JSON to what Python's `json` does, on random values; needs a `python3`.
@Suite(.enabled(if: python != nil, "there is no python3 to compare with"))
struct PythonJSONTests {
    @Test func writesWhatPythonWrites() throws {
        let seed = environmentSeed
        var generator = Generator(state: seed)
        let values = (0..<2000).map { _ in randomValue(depth: 0, &generator) }
        let program = """
            import json, sys
            values = json.load(sys.stdin)
            json.dump([json.dumps(v, sort_keys=True, indent=4, separators=(',', ': ')) for v in values], sys.stdout)
            """
        let output = try runPython(program, input: JSONValue.array(values).pythonBytes())
        let texts = try #require(try JSONValue(parsing: output).array)
        #expect(texts.count == values.count)
        for (value, text) in zip(values, texts) {
            #expect(value.pythonText() == text.string, "PLANTDB_SEED=\(seed)")
        }
    }

    @Test func readsWhatPythonReads() throws {
        let seed = environmentSeed &+ 1
        var generator = Generator(state: seed)
        // Valid documents with a byte or two changed: some stay valid, most do not.
        let alphabet = Array(#"{}[]":,.-+eE0123456789truefalsnINiy\/u é"#.utf8)
        var documents: [[UInt8]] = []
        for _ in 0..<3000 {
            var bytes = randomValue(depth: 1, &generator).pythonBytes(indent: 0)
            for _ in 0..<Int.random(in: 0...2, using: &generator) {
                let position = Int.random(in: 0..<bytes.count, using: &generator)
                let byte = alphabet.randomElement(using: &generator) ?? 0
                switch Int.random(in: 0...2, using: &generator) {
                case 0: bytes[position] = byte
                case 1: bytes.insert(byte, at: position)
                default: if bytes.count > 1 { bytes.remove(at: position) }
                }
            }
            documents.append(bytes)
        }
        let program = """
            import json, sys
            out = []
            for text in json.load(sys.stdin):
                try:
                    value = json.loads(bytes.fromhex(text).decode('utf-8'))
                    out.append(json.dumps(value, sort_keys=True, indent=4, separators=(',', ': ')))
                except (ValueError, UnicodeError):
                    out.append(None)
            json.dump(out, sys.stdout)
            """
        let hex = documents.map { JSONValue.string($0.map { String(format: "%02x", $0) }.joined()) }
        let output = try runPython(program, input: JSONValue.array(hex).pythonBytes())
        let verdicts = try #require(try JSONValue(parsing: output).array)
        #expect(verdicts.count == documents.count)
        for (document, verdict) in zip(documents, verdicts) {
            let text = String(decoding: document, as: UTF8.self)
            let result = Result { () throws(DatabaseError) in try JSONValue(parsing: document) }
            switch result {
            case .success(let value):
                let expected = try #require(verdict.string, "only we accept \(text), PLANTDB_SEED=\(seed)")
                // Python rewrites numbers, so both are compared as values.
                #expect(isSame(value, try JSONValue(parsing: expected.utf8)), "\(text), PLANTDB_SEED=\(seed)")
            case .failure(let error):
                #expect(verdict == .null, "only Python accepts \(text): \(error), PLANTDB_SEED=\(seed)")
            }
        }
    }

    private func isSame(_ one: JSONValue, _ other: JSONValue) -> Bool {
        switch (one, other) {
        case (.number(let first), .number(let second)):
            return first == second || Double(first) == Double(second)
                || (one.double?.isInfinite == true && one.double == other.double)
        case (.array(let first), .array(let second)):
            return first.count == second.count && zip(first, second).allSatisfy { isSame($0, $1) }
        case (.object(let first), .object(let second)):
            return first.count == second.count
                && first.members.allSatisfy { member in
                    second[member.key].map { isSame(member.value, $0) } ?? false
                }
        default: return one == other
        }
    }
}

private let python: String? = {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    return path.split(separator: ":").map { $0 + "/python3" }.map(String.init)
        .first { FileManager.default.isExecutableFile(atPath: $0) }
}()

private var environmentSeed: UInt64 {
    ProcessInfo.processInfo.environment["PLANTDB_SEED"].flatMap { UInt64($0) } ?? 20_240_501
}

private struct PythonFailure: Error { let status: Int32 }

private func runPython(_ program: String, input: [UInt8]) throws -> [UInt8] {
    let folder = FileManager.default.temporaryDirectory.appending(path: "plantdb-json-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let inputFile = folder.appending(path: "input")
    let outputFile = folder.appending(path: "output")
    try Data(input).write(to: inputFile)
    try Data().write(to: outputFile)
    let process = Process()
    process.executableURL = URL(filePath: try #require(python))
    process.arguments = ["-c", program]
    process.standardInput = try FileHandle(forReadingFrom: inputFile)
    process.standardOutput = try FileHandle(forWritingTo: outputFile)
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw PythonFailure(status: process.terminationStatus) }
    return Array(try Data(contentsOf: outputFile))
}

/// SplitMix64.
private struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}

private func randomValue(depth: Int, _ generator: inout Generator) -> JSONValue {
    switch Int.random(in: 0..<(depth < 4 ? 9 : 6), using: &generator) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &generator))
    case 2:
        return .number(Int(truncatingIfNeeded: generator.next()) >> Int.random(in: 0...63, using: &generator))
    case 3: return .number(randomDouble(&generator))
    case 4, 5: return .string(randomText(&generator))
    case 6:
        return .array(
            (0..<Int.random(in: 0...4, using: &generator)).map { _ in
                randomValue(depth: depth + 1, &generator)
            })
    default:
        var object = JSONObject()
        for _ in 0..<Int.random(in: 0...12, using: &generator) {
            object[randomText(&generator)] = randomValue(depth: depth + 1, &generator)
        }
        return .object(object)
    }
}

private func randomDouble(_ generator: inout Generator) -> Double {
    switch Int.random(in: 0..<8, using: &generator) {
    case 0: return .nan
    case 1: return Bool.random(using: &generator) ? .infinity : -.infinity
    case 2, 3: return Double(bitPattern: generator.next())
    case 4:
        // Around where Python begins to write exponents.
        return Double.random(in: -3...3, using: &generator)
            * (Bool.random(using: &generator) ? 1e16 : 1e-4)
    case 5: return Double(Int.random(in: -1 << 60...1 << 60, using: &generator))
    default: return Double.random(in: -1000...1000, using: &generator)
    }
}

private func randomText(_ generator: inout Generator) -> String {
    var text = ""
    for _ in 0..<Int.random(in: 0...8, using: &generator) {
        let range: ClosedRange<UInt32> =
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: 0...0x1f
            case 1: 0x7f...0xff
            case 2: 0x100...0xd7ff
            case 3: 0xe000...0xffff
            case 4: 0x10000...0x10d7ff
            default: 0x20...0x7e
            }
        // No range has a surrogate, or a character that stands for one.
        if let scalar = Unicode.Scalar(UInt32.random(in: range, using: &generator)) {
            text.unicodeScalars.append(scalar)
        }
    }
    return text
}

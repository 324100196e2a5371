/// The structure of a JPEG, read by the rules of ITU-T T.81 and independent of the encoder.
struct ParsedJPEG {
    var width = 0
    var height = 0
    /// Blocks whose coefficients were decoded to their ends.
    var blocks = 0
    var blocksExpected = 0
    /// The level of the luminance blocks, as sent.
    var luminance: [Int] = []

    struct Malformed: Error { var reason: String }

    private struct Table {
        var counts: [UInt8]
        var symbols: [UInt8]
    }

    init(_ bytes: [UInt8]) throws {
        func check(_ condition: Bool, _ reason: String) throws {
            if !condition { throw Malformed(reason: reason) }
        }
        try check(bytes.starts(with: [0xff, 0xd8]) && bytes.suffix(2) == [0xff, 0xd9], "no SOI or EOI")
        var tables: [UInt8: Table] = [:]
        var sampling: [(h: Int, v: Int)] = []
        var place = 2
        while true {
            try check(place + 4 <= bytes.count && bytes[place] == 0xff, "no marker at \(place)")
            let marker = bytes[place + 1]
            let length = Int(bytes[place + 2]) << 8 | Int(bytes[place + 3])
            let content = Array(bytes[(place + 4)..<(place + 2 + length)])
            place += 2 + length
            switch marker {
            case 0xc0:
                height = Int(content[1]) << 8 | Int(content[2])
                width = Int(content[3]) << 8 | Int(content[4])
                for component in 0..<Int(content[5]) {
                    let factors = content[7 + 3 * component]
                    sampling.append((h: Int(factors >> 4), v: Int(factors & 15)))
                }
            case 0xc4:
                tables[content[0]] = Table(counts: Array(content[1...16]), symbols: Array(content[17...]))
            default: break
            }
            if marker == 0xda { break }
        }
        let across = (width + 8 * sampling[0].h - 1) / (8 * sampling[0].h)
        let down = (height + 8 * sampling[0].v - 1) / (8 * sampling[0].v)
        blocksExpected = across * down * sampling.reduce(0) { $0 + $1.h * $1.v }

        // The entropy-coded data without stuffing.
        var data: [UInt8] = []
        let end = bytes.count - 2
        while place < end {
            data.append(bytes[place])
            if bytes[place] == 0xff {
                try check(bytes[place + 1] == 0, "a marker within the data")
                place += 1
            }
            place += 1
        }
        var bit = 0
        func take(_ count: Int) throws -> Int {
            var value = 0
            for _ in 0..<count {
                try check(bit < 8 * data.count, "the data ends early")
                value = value << 1 | Int(data[bit / 8] >> UInt8(7 - bit % 8) & 1)
                bit += 1
            }
            return value
        }
        func symbol(_ table: Table) throws -> Int {
            var code = 0
            var first = 0
            var index = 0
            for length in 0..<16 {
                code |= try take(1)
                let count = Int(table.counts[length])
                if code - first < count { return Int(table.symbols[index + code - first]) }
                index += count
                first = (first + count) << 1
                code <<= 1
            }
            throw Malformed(reason: "no such code at bit \(bit)")
        }
        func value(_ size: Int) throws -> Int {
            let raw = try take(size)
            return size > 0 && raw < 1 << (size - 1) ? raw - (1 << size) + 1 : raw
        }
        var level = [Int](repeating: 0, count: sampling.count)
        for _ in 0..<(across * down) {
            for component in sampling.indices {
                let number: UInt8 = component == 0 ? 0 : 1
                guard let dc = tables[number], let ac = tables[0x10 | number] else {
                    throw Malformed(reason: "a Huffman table is missing")
                }
                for _ in 0..<(sampling[component].h * sampling[component].v) {
                    level[component] += try value(try symbol(dc))
                    if component == 0 { luminance.append(level[0]) }
                    var coefficient = 1
                    while coefficient < 64 {
                        let code = try symbol(ac)
                        if code == 0 { break }
                        coefficient += code >> 4
                        try check(code == 0xf0 || coefficient < 64, "more than 64 coefficients")
                        _ = try value(code & 15)
                        coefficient += 1
                    }
                    blocks += 1
                }
            }
        }
        // What is left are ones that fill the last byte.
        try check(8 * data.count - bit < 8, "\(data.count - bit / 8) bytes after the last block")
        while bit < 8 * data.count { try check(try take(1) == 1, "padding is not ones") }
    }
}

/// A PNG of 8 bits a sample, decoded: chunks, checksums, DEFLATE and filters 0 and 1.
struct ParsedPNG {
    var width = 0
    var height = 0
    var channels = 0
    /// Samples row by row, without filter bytes.
    var samples: [UInt8] = []

    struct Malformed: Error { var reason: String }

    init(_ bytes: [UInt8]) throws {
        guard bytes.starts(with: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) else {
            throw Malformed(reason: "no signature")
        }
        var place = 8
        var data: [UInt8] = []
        var last = ""
        while place < bytes.count {
            let length = Int(Self.number(bytes, place))
            last = String(decoding: bytes[(place + 4)..<(place + 8)], as: UTF8.self)
            let content = Array(bytes[(place + 8)..<(place + 8 + length)])
            guard
                Self.crc(bytes[(place + 4)..<(place + 8 + length)]) == Self.number(bytes, place + 8 + length)
            else {
                throw Malformed(reason: "the checksum of \(last)")
            }
            if last == "IHDR" {
                width = Int(Self.number(content, 0))
                height = Int(Self.number(content, 4))
                guard content[8] == 8, let count = [0: 1, 2: 3, 6: 4][Int(content[9])] else {
                    throw Malformed(reason: "depth or colour type")
                }
                channels = count
            }
            if last == "IDAT" { data += content }
            place += 12 + length
        }
        guard last == "IEND" else { throw Malformed(reason: "no end") }
        let raw = try Inflated(zlib: data).bytes
        let stride = width * channels + 1
        guard raw.count == stride * height else { throw Malformed(reason: "\(raw.count) bytes of pixels") }
        samples.reserveCapacity(raw.count)
        for row in 0..<height {
            let filter = raw[row * stride]
            guard filter < 2 else { throw Malformed(reason: "filter \(filter)") }
            for index in 1..<stride {
                let left = filter == 1 && index > channels ? samples[samples.count - channels] : 0
                samples.append(raw[row * stride + index] &+ left)
            }
        }
    }

    private static func number(_ bytes: [UInt8], _ place: Int) -> UInt32 {
        bytes[place..<(place + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }

    private static func crc(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var value: UInt32 = ~0
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? 0xedb8_8320 ^ value >> 1 : value >> 1 }
        }
        return ~value
    }
}

/// A zlib stream, inflated by the rules of RFC 1950 and 1951, with its checksum compared.
struct Inflated {
    private(set) var bytes: [UInt8] = []

    struct Malformed: Error { var reason: String }

    init(zlib data: [UInt8]) throws {
        guard data.count > 6, data[0] & 15 == 8, (Int(data[0]) << 8 | Int(data[1])) % 31 == 0 else {
            throw Malformed(reason: "no zlib header")
        }
        var reader = BitReader(data: data, bit: 16)
        var isLast = false
        while !isLast {
            isLast = try reader.take(1) == 1
            guard try reader.take(2) == 2 else { throw Malformed(reason: "only dynamic blocks are expected") }
            try block(&reader)
        }
        var a: UInt32 = 1
        var b: UInt32 = 0
        for byte in bytes {
            a = (a + UInt32(byte)) % 65521
            b = (b + a) % 65521
        }
        let start = (reader.bit + 7) / 8
        let sum = data[start...].reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
        guard data.count == start + 4, sum == b << 16 | a else { throw Malformed(reason: "the checksum") }
    }

    private struct BitReader {
        let data: [UInt8]
        var bit: Int

        mutating func take(_ count: Int) throws -> Int {
            var value = 0
            for place in 0..<count {
                guard bit < 8 * data.count else { throw Malformed(reason: "it ends early") }
                value |= Int(data[bit / 8] >> UInt8(bit % 8) & 1) << place
                bit += 1
            }
            return value
        }
    }

    private struct Code {
        private var symbols: [Int: Int] = [:]

        /// - Throws: if the lengths are of no full tree (or of one code only).
        init(_ lengths: [Int]) throws {
            var next = 0
            var used = 0.0
            for length in 1...15 {
                next <<= 1
                for symbol in lengths.indices where lengths[symbol] == length {
                    symbols[1 << length | next] = symbol
                    next += 1
                    used += 1 / Double(1 << length)
                }
            }
            guard used == 1 || symbols.count <= 1 else { throw Malformed(reason: "no full tree: \(used)") }
        }

        func next(_ reader: inout BitReader) throws -> Int {
            var key = 1
            for _ in 0..<15 {
                key = key << 1 | (try reader.take(1))
                if let symbol = symbols[key] { return symbol }
            }
            throw Malformed(reason: "no such code")
        }
    }

    private mutating func block(_ reader: inout BitReader) throws {
        let literalCount = try reader.take(5) + 257
        let distanceCount = try reader.take(5) + 1
        let lengthCount = try reader.take(4) + 4
        var own = [Int](repeating: 0, count: 19)
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
        for place in 0..<lengthCount { own[order[place]] = try reader.take(3) }
        let lengthCode = try Code(own)
        var lengths: [Int] = []
        while lengths.count < literalCount + distanceCount {
            let symbol = try lengthCode.next(&reader)
            switch symbol {
            case 16:
                guard let previous = lengths.last else { throw Malformed(reason: "nothing to repeat") }
                lengths += [Int](repeating: previous, count: try reader.take(2) + 3)
            case 17: lengths += [Int](repeating: 0, count: try reader.take(3) + 3)
            case 18: lengths += [Int](repeating: 0, count: try reader.take(7) + 11)
            default: lengths.append(symbol)
            }
        }
        let literals = try Code(Array(lengths[..<literalCount]))
        let distances = try Code(Array(lengths[literalCount...]))
        while true {
            let symbol = try literals.next(&reader)
            if symbol == 256 { return }
            if symbol < 256 {
                bytes.append(UInt8(symbol))
                continue
            }
            var length = 258
            if symbol < 285 {
                let extra = symbol < 265 ? 0 : (symbol - 261) / 4
                let base = symbol < 265 ? symbol - 254 : 3 + ((4 + (symbol - 261) % 4) << extra)
                length = base + (try reader.take(extra))
            }
            let code = try distances.next(&reader)
            let extra = code < 4 ? 0 : code / 2 - 1
            let distance = (code < 4 ? code + 1 : 1 + ((2 + code % 2) << extra)) + (try reader.take(extra))
            guard distance <= bytes.count else { throw Malformed(reason: "a distance of \(distance)") }
            for _ in 0..<length { bytes.append(bytes[bytes.count - distance]) }
        }
    }
}

/// What a DEFLATE block is made of (RFC 1951, 3.2.5): bytes, and repetitions of what was
/// `distance` bytes before.
enum DeflateSymbol {
    static let endOfBlock = 256

    /// The symbol, and extra bits, of a repetition of 3 to 258 bytes.
    static func length(_ length: Int) -> (symbol: Int, extra: BitString) {
        if length == 258 { return (285, BitString()) }
        let value = length - 3
        if value < 8 { return (257 + value, BitString()) }
        let bits = Int.bitWidth - value.leadingZeroBitCount - 3
        let symbol = 257 + 4 * bits + (value >> bits)
        return (symbol, BitString(bits: UInt64(value & ((1 << bits) - 1)), count: bits))
    }

    /// The symbol, and extra bits, of a distance of 1 to 32,768 bytes.
    static func distance(_ distance: Int) -> (symbol: Int, extra: BitString) {
        let value = distance - 1
        if value < 4 { return (value, BitString()) }
        let bits = Int.bitWidth - value.leadingZeroBitCount - 2
        return (2 * bits + (value >> bits), BitString(bits: UInt64(value & ((1 << bits) - 1)), count: bits))
    }
}

/// The Huffman codes of one block, both alphabets, made from how often symbols occur.
struct DeflateCodes: Sendable {
    /// By symbol, bits in sending order.
    let literals: [BitString]
    let distances: [BitString]
    private let lengths: [Int]

    /// - Parameters:
    ///   - literals: 286 counts; a symbol with 0 gets no code and must not be sent.
    ///   - distances: 30 counts.
    init(literals: [Int], distances: [Int]) {
        var literalCounts = literals
        literalCounts[DeflateSymbol.endOfBlock] = max(1, literals[DeflateSymbol.endOfBlock])
        let literalLengths = Self.lengths(literalCounts, limit: 15)
        // One distance code at least, of one bit, as every decoder accepts it.
        let distanceLengths =
            distances.contains { $0 > 0 }
            ? Self.lengths(distances, limit: 15) : [1] + [Int](repeating: 0, count: 29)
        self.literals = Self.codes(literalLengths)
        self.distances = Self.codes(distanceLengths)
        lengths = literalLengths + distanceLengths
    }

    /// Lengths of at most `limit` bits: package-merge (Larmore and Hirschberg), which is
    /// optimal under the limit.
    private static func lengths(_ counts: [Int], limit: Int) -> [Int] {
        var result = [Int](repeating: 0, count: counts.count)
        let used = counts.indices.filter { counts[$0] > 0 }
        if used.count == 1 {
            result[used[0]] = 1
            return result
        }
        typealias Package = (weight: Int, symbols: [Int])
        let leaves: [Package] = used.map { (counts[$0], [$0]) }.sorted {
            ($0.weight, $0.symbols[0]) < ($1.weight, $1.symbols[0])
        }
        var packages: [Package] = []
        for _ in 0..<limit {
            var paired: [Package] = []
            for first in stride(from: 0, to: packages.count - 1, by: 2) {
                paired.append(
                    (
                        packages[first].weight + packages[first + 1].weight,
                        packages[first].symbols + packages[first + 1].symbols
                    ))
            }
            // Both are sorted; ties go to the leaves, so that the outcome is one on every machine.
            var merged: [Package] = []
            var leaf = 0
            var pair = 0
            while leaf < leaves.count || pair < paired.count {
                if pair == paired.count || (leaf < leaves.count && leaves[leaf].weight <= paired[pair].weight)
                {
                    merged.append(leaves[leaf])
                    leaf += 1
                } else {
                    merged.append(paired[pair])
                    pair += 1
                }
            }
            packages = merged
        }
        for package in packages.prefix(2 * used.count - 2) {
            for symbol in package.symbols { result[symbol] += 1 }
        }
        return result
    }

    /// Canonical codes (RFC 1951, 3.2.2), turned round for sending.
    private static func codes(_ lengths: [Int]) -> [BitString] {
        var next = 0
        var result = [BitString](repeating: BitString(), count: lengths.count)
        for length in 1...15 {
            next <<= 1
            for symbol in lengths.indices where lengths[symbol] == length {
                var turned: UInt64 = 0
                for bit in 0..<length where next >> bit & 1 == 1 { turned |= 1 << UInt64(length - 1 - bit) }
                result[symbol] = BitString(bits: turned, count: length)
                next += 1
            }
        }
        return result
    }

    /// The head of a block with these codes (RFC 1951, 3.2.7). The code lengths are sent with
    /// a plain 4-bit code: some hundred bytes more a block, and simple.
    func writeHeader(to writer: inout DeflateBitWriter, isLast: Bool) {
        writer.write(BitString(bits: isLast ? 1 : 0, count: 1))
        writer.write(BitString(bits: 2, count: 2))
        writer.write(BitString(bits: 286 - 257, count: 5))
        writer.write(BitString(bits: 30 - 1, count: 5))
        writer.write(BitString(bits: 19 - 4, count: 4))
        // 18 (a long run of zeros) and 0 ... 15 have codes of 1 and 5 bits: a full tree.
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
        let own = (0..<19).map { $0 == 18 ? 1 : $0 < 16 ? 5 : 0 }
        for symbol in order { writer.write(BitString(bits: UInt64(own[symbol]), count: 3)) }
        let codes = Self.codes(own)
        var place = 0
        while place < lengths.count {
            let zeros = lengths[place...].prefix(138).prefix { $0 == 0 }.count
            if zeros >= 11 {
                writer.write(codes[18])
                writer.write(BitString(bits: UInt64(zeros - 11), count: 7))
                place += zeros
            } else {
                writer.write(codes[lengths[place]])
                place += 1
            }
        }
    }

    /// A repetition as one string of bits.
    func repetition(length: Int, distance: Int) -> BitString {
        let (lengthSymbol, lengthExtra) = DeflateSymbol.length(length)
        let (distanceSymbol, distanceExtra) = DeflateSymbol.distance(distance)
        var result = literals[lengthSymbol]
        for part in [lengthExtra, distances[distanceSymbol], distanceExtra] {
            result.bits |= part.bits << UInt64(result.count)
            result.count += part.count
        }
        return result
    }
}

/// The bits of a DEFLATE stream: least significant first.
struct DeflateBitWriter {
    private(set) var bytes: [UInt8]
    private var pending: UInt64 = 0
    private var pendingCount = 0

    init(appendingTo bytes: [UInt8] = []) { self.bytes = bytes }

    mutating func write(_ string: BitString) {
        pending |= string.bits << UInt64(pendingCount)
        pendingCount += string.count
        while pendingCount >= 8 {
            bytes.append(UInt8(truncatingIfNeeded: pending))
            pending >>= 8
            pendingCount -= 8
        }
    }

    mutating func finish() -> [UInt8] {
        if pendingCount > 0 { write(BitString(bits: 0, count: 8 - pendingCount)) }
        return bytes
    }
}

/// A zlib stream (RFC 1950) of runs: what masks and voxels are made of. Collects the symbols,
/// then writes them as one block with codes made for them.
struct RunDeflater {
    /// A symbol: literal, or length and distance.
    private var symbols: [(length: UInt16, value: UInt16)] = []
    private var literalCounts = [Int](repeating: 0, count: 286)
    private var distanceCounts = [Int](repeating: 0, count: 30)
    private var adler = Adler32()
    /// A run that may go on.
    private var pending: (byte: UInt8, count: Int) = (0, 0)

    /// One byte.
    mutating func literal(_ byte: UInt8) { run(byte, count: 1) }

    private mutating func send(_ byte: UInt8) {
        symbols.append((0, UInt16(byte)))
        literalCounts[Int(byte)] += 1
        adler.append(byte)
    }

    /// The same byte `count` times.
    mutating func run(_ byte: UInt8, count: Int) {
        if byte == pending.byte {
            pending.count += count
        } else {
            sendPending()
            pending = (byte, count)
        }
    }

    private mutating func sendPending() {
        guard pending.count > 0 else { return }
        send(pending.byte)
        let rest = repeated(pending.count - 1, distance: 1)
        adler.append(pending.byte, count: pending.count - 1 - rest)
        for _ in 0..<rest { send(pending.byte) }
        pending.count = 0
    }

    /// Bytes of which many are equal to their neighbours.
    mutating func runs(_ bytes: UnsafeRawBufferPointer) {
        var start = 0
        while start < bytes.count {
            var end = start + 1
            while end < bytes.count, bytes[end] == bytes[start] { end += 1 }
            run(bytes[start], count: end - start)
            start = end
        }
    }

    /// A copy of what was `distance` bytes before; `bytes` are what it amounts to.
    mutating func copy(_ bytes: UnsafeRawBufferPointer, distance: Int) {
        sendPending()
        let rest = repeated(bytes.count, distance: distance)
        let split = bytes.count - rest
        adler.append(Adler32.Stretch(UnsafeRawBufferPointer(rebasing: bytes[..<split])))
        for byte in bytes[split...] { send(byte) }
    }

    /// Adds repetitions; returns the one or two bytes at the end that are too few for one.
    private mutating func repeated(_ count: Int, distance: Int) -> Int {
        var rest = count
        while rest >= 3 {
            let length = min(258, rest)
            symbols.append((UInt16(length), UInt16(distance - 1)))
            literalCounts[DeflateSymbol.length(length).symbol] += 1
            distanceCounts[DeflateSymbol.distance(distance).symbol] += 1
            rest -= length
        }
        return rest
    }

    mutating func finish() -> [UInt8] {
        sendPending()
        var writer = DeflateBitWriter(appendingTo: [0x78, 0x9c])
        let codes = DeflateCodes(literals: literalCounts, distances: distanceCounts)
        codes.writeHeader(to: &writer, isLast: true)
        for symbol in symbols {
            if symbol.length == 0 {
                writer.write(codes.literals[Int(symbol.value)])
            } else {
                writer.write(codes.repetition(length: Int(symbol.length), distance: Int(symbol.value) + 1))
            }
        }
        writer.write(codes.literals[DeflateSymbol.endOfBlock])
        var bytes = writer.finish()
        bytes.appendBigEndian(adler.value)
        return bytes
    }
}

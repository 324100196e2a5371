/// PNG files (W3C Recommendation, second edition) with our own DEFLATE, for the reasons that
/// ``JPEGEncoder`` gives: the same bytes everywhere, and nothing to install.
enum PNGEncoder {
    enum Color: UInt8 {
        case gray = 0
        case rgb = 2
        case rgba = 6

        var channels: Int {
            switch self {
            case .gray: 1
            case .rgb: 3
            case .rgba: 4
            }
        }
    }

    /// A gray picture: the gray of each class.
    static func mask(_ map: ClassMap, gray: [UInt8]) -> [UInt8] {
        var deflater = RunDeflater()
        let width = map.width
        // Rows begin with their filter: 0, none.
        var row = [UInt8](repeating: 0, count: width + 1)
        var isSameAsBefore = false
        map.pixels.withUnsafeBufferPointer { pixels in
            for y in 0..<map.height {
                // Rows that nothing was drawn on are all alike.
                if y > 0, !map.mayHoldPlant(row: y), !map.mayHoldPlant(row: y - 1) {
                    isSameAsBefore = true
                } else {
                    isSameAsBefore = y > 0
                    for x in 0..<width {
                        let value = gray[Int(pixels[y * width + x])]
                        if row[x + 1] != value {
                            row[x + 1] = value
                            isSameAsBefore = false
                        }
                    }
                }
                row.withUnsafeBytes { row in
                    if isSameAsBefore, row.contains(where: { $0 != 0 }) {
                        deflater.copy(row, distance: width + 1)
                    } else {
                        deflater.runs(row)
                    }
                }
            }
        }
        return file(width: width, height: map.height, color: .gray, data: deflater.finish())
    }

    /// Signature, header, data (RFC 1950) and end.
    static func file(width: Int, height: Int, color: Color, data: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
        bytes.reserveCapacity(data.count + 100)
        func chunk(_ type: String, _ content: [UInt8]) {
            bytes.appendBigEndian(UInt32(content.count))
            let start = bytes.count
            bytes += Array(type.utf8) + content
            let checksum = bytes.withUnsafeBytes { CRC32.of(UnsafeRawBufferPointer(rebasing: $0[start...])) }
            bytes.appendBigEndian(checksum)
        }
        var header: [UInt8] = []
        header.appendBigEndian(UInt32(width))
        header.appendBigEndian(UInt32(height))
        chunk("IHDR", header + [8, color.rawValue, 0, 0, 0])
        chunk("IDAT", data)
        chunk("IEND", [])
        return bytes
    }
}

/// Colour pictures with grain, as PNG.
///
/// Every row is stored as differences to the pixel on the left (filter “Sub”), and most of a
/// row is made of stretches of grain that begin and end at the bare colour; those are encoded
/// once, with their checksums, and then copied bit by bit. So a picture costs about as much
/// as its file is large, not its pixels.
struct GrainyPNGEncoder: Sendable {
    let color: PNGEncoder.Color
    /// Red, green, blue (and alpha) by class.
    private let colors: [[UInt8]]
    /// Of a hundred stretches, how many are grainy.
    private let grainyShare: Int
    private let codes: DeflateCodes
    private let quiet: Stretch
    private let grainy: [Stretch]

    private static let pixels = 16

    private struct Stretch: Sendable {
        var residuals: [UInt8]
        /// Value over the bare colour after each pixel.
        var levels: [[UInt8]]
        var strings: [BitString]
        var sums: Adler32.Stretch
    }

    init(color: PNGEncoder.Color, colors: [[UInt8]], grainyShare: Int, seed: UInt64) {
        self.color = color
        self.colors = colors
        self.grainyShare = grainyShare
        var random = SeededNumbers(seed: seed, "png grain")
        let channels = color.channels
        var drafts: [[UInt8]] = []
        for _ in 0..<32 {
            var residuals: [UInt8] = []
            var before = [UInt8](repeating: 0, count: channels)
            for pixel in 0..<Self.pixels {
                // The grain of a camera is gray: the same in all channels. Alpha has none.
                let gray = pixel == Self.pixels - 1 ? 0 : [0, 0, 1, 1, 2][random.below(5)]
                for channel in 0..<channels {
                    let level = channel == 3 ? 0 : UInt8(gray)
                    residuals.append(level &- before[channel])
                    before[channel] = level
                }
            }
            drafts.append(residuals)
        }
        var literals = [Int](repeating: 1, count: 286)
        literals[0] = 100
        for draft in drafts { for byte in draft { literals[Int(byte)] += 8 } }
        let length = DeflateSymbol.length(Self.pixels * channels - 1).symbol
        literals[length] += 4000
        var distances = [Int](repeating: 0, count: 30)
        distances[0] = 1
        let codes = DeflateCodes(literals: literals, distances: distances)
        self.codes = codes

        func stretch(_ residuals: [UInt8], _ strings: [BitString]) -> Stretch {
            var levels: [[UInt8]] = []
            var level = [UInt8](repeating: 0, count: channels)
            for pixel in 0..<Self.pixels {
                for channel in 0..<channels { level[channel] &+= residuals[pixel * channels + channel] }
                levels.append(level)
            }
            return Stretch(residuals: residuals, levels: levels, strings: strings, sums: .init(residuals))
        }
        let zeros = [UInt8](repeating: 0, count: Self.pixels * channels)
        quiet = stretch(
            zeros, Self.joined([codes.literals[0], codes.repetition(length: zeros.count - 1, distance: 1)]))
        grainy = drafts.map { draft in stretch(draft, Self.joined(draft.map { codes.literals[Int($0)] })) }
    }

    /// The same bits in fewer strings.
    private static func joined(_ strings: [BitString]) -> [BitString] {
        var result: [BitString] = []
        var current = BitString()
        for string in strings {
            if current.count + string.count > 56 {
                result.append(current)
                current = BitString()
            }
            current.bits |= string.bits << UInt64(current.count)
            current.count += string.count
        }
        result.append(current)
        return result
    }

    func encode(_ map: ClassMap, seed: UInt64) -> [UInt8] {
        var random = SeededNumbers(seed: seed, "png")
        var writer = DeflateBitWriter(appendingTo: [0x78, 0x9c])
        var adler = Adler32()
        codes.writeHeader(to: &writer, isLast: true)
        func literal(_ byte: UInt8) {
            writer.write(codes.literals[Int(byte)])
            adler.append(byte)
        }
        let channels = color.channels
        map.pixels.withUnsafeBufferPointer { pixels in
            for row in 0..<map.height {
                literal(1)
                var shown = [UInt8](repeating: 0, count: channels)
                var x = 0
                let base = row * map.width
                while x < map.width {
                    let number = pixels[base + x]
                    let bare = colors[Int(number)]
                    for channel in 0..<channels { literal(bare[channel] &- shown[channel]) }
                    shown = bare
                    x += 1
                    // Whole stretches while the class goes on, and then a part of one.
                    while x < map.width, pixels[base + x] == number {
                        var end = x + 1
                        let limit = min(map.width, x + Self.pixels)
                        while end < limit, pixels[base + end] == number { end += 1 }
                        let stretch =
                            random.below(100) < grainyShare ? grainy[random.below(grainy.count)] : quiet
                        if end - x == Self.pixels {
                            for string in stretch.strings { writer.write(string) }
                            adler.append(stretch.sums)
                        } else {
                            let count = end - x
                            for byte in stretch.residuals.prefix(count * channels) { literal(byte) }
                            for channel in 0..<channels {
                                shown[channel] = bare[channel] &+ stretch.levels[count - 1][channel]
                            }
                        }
                        x = end
                    }
                }
            }
        }
        writer.write(codes.literals[DeflateSymbol.endOfBlock])
        var data = writer.finish()
        data.appendBigEndian(adler.value)
        return PNGEncoder.file(width: map.width, height: map.height, color: color, data: data)
    }
}

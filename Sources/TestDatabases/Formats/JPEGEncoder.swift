/// A small deterministic encoder of baseline JPEG pictures from a ``ClassMap``.
///
/// Why our own, and not libjpeg: its releases and its SIMD code give different bytes, so the
/// same seed would give different files on different machines; and generating must need
/// nothing installed. It is also fast where a general encoder is not, in debug builds too:
/// most blocks of a picture lie within one class, and for those the entropy-coded grain is
/// taken from a store that was encoded once. Only blocks across an outline are transformed.
///
/// Arithmetic is on integers throughout.
struct JPEGEncoder: Sendable {
    /// How pixels of one class look.
    struct Look: Sendable {
        /// Luminance and chrominance, 0 ... 255.
        var y: Int
        var cb: Int
        var cr: Int
        /// Coefficients of grain in a luminance and a chrominance block, about.
        var grain: Int
        var chromaGrain = 0
        /// Whether the light falls off over it: the background, not the plant.
        var shaded = false

        /// From red, green and blue (JFIF, the matrix of BT.601).
        init(red: Int, green: Int, blue: Int, grain: Int, chromaGrain: Int = 0, shaded: Bool = false) {
            y = (299 * red + 587 * green + 114 * blue) / 1000
            cb = 128 + (-169 * red - 331 * green + 500 * blue) / 1000
            cr = 128 + (500 * red - 419 * green - 81 * blue) / 1000
            self.grain = grain
            self.chromaGrain = chromaGrain
            self.shaded = shaded
        }
    }

    let quality: Int
    /// Whether colour has half the resolution both ways (4:2:0), as cameras store it.
    let subsampled: Bool
    private let looks: [Look]
    private let luminance: [Int]
    private let chrominance: [Int]
    /// Grain blocks of each class, entropy-coded without their DC coefficient.
    private let lumaGrain: [[[BitString]]]
    private let chromaGrain: [[[BitString]]]

    private static let variants = 64

    /// - Parameter looks: by class number.
    init(quality: Int, subsampled: Bool, looks: [Look], seed: UInt64) {
        self.quality = quality
        self.subsampled = subsampled
        self.looks = looks
        luminance = JPEGTables.scaled(JPEGTables.luminance, quality: quality)
        chrominance = JPEGTables.scaled(JPEGTables.chrominance, quality: quality)
        var random = SeededNumbers(seed: seed, "grain")
        var luma: [[[BitString]]] = []
        var chroma: [[[BitString]]] = []
        // Classes that are equally grainy share their blocks.
        var known: [Int: [[BitString]]] = [:]
        func grain(_ amount: Int, _ table: JPEGTables.Huffman, key: Int) -> [[BitString]] {
            if let found = known[key] { return found }
            let blocks = (0..<Self.variants).map { _ in
                var block = [Int](repeating: 0, count: 64)
                let count = amount == 0 ? 0 : random.integer((amount + 1) / 2...amount + amount / 2)
                for _ in 0..<count {
                    // Low frequencies more often than high ones.
                    let place = 1 + min(random.below(20 + amount), random.below(20 + amount))
                    block[min(63, place)] = random.below(2) == 0 ? 1 + random.below(2) : -1 - random.below(2)
                }
                return Self.entropyCoded(block, table)
            }
            known[key] = blocks
            return blocks
        }
        for look in looks {
            luma.append(grain(look.grain, JPEGTables.luminanceAC, key: look.grain))
            chroma.append(grain(look.chromaGrain, JPEGTables.chrominanceAC, key: 1000 + look.chromaGrain))
        }
        lumaGrain = luma
        chromaGrain = chroma
    }

    /// The AC coefficients of a quantised block in zigzag order (T.81, F.1.2.2).
    private static func entropyCoded(_ block: [Int], _ table: JPEGTables.Huffman) -> [BitString] {
        var result: [BitString] = []
        var zeros = 0
        for place in 1..<64 {
            let value = block[place]
            if value == 0 {
                zeros += 1
                continue
            }
            while zeros >= 16 {
                result.append(table.codes[0xf0])
                zeros -= 16
            }
            let size = Int.bitWidth - value.magnitude.leadingZeroBitCount
            let code = table.codes[zeros << 4 | size]
            result.append(joined(code, value, size))
            zeros = 0
        }
        if zeros > 0 { result.append(table.codes[0]) }
        return result
    }

    /// A code and the bits of the value itself: negative ones as one's complement.
    private static func joined(_ code: BitString, _ value: Int, _ size: Int) -> BitString {
        let bits = UInt64(value < 0 ? value + (1 << size) - 1 : value)
        return BitString(bits: code.bits << UInt64(size) | bits, count: code.count + size)
    }

    /// The picture; costs O(pixels), and a few times the size of the result in memory.
    func encode(_ map: ClassMap, seed: UInt64) -> [UInt8] {
        var scan = Scan(encoder: self, map: map, random: SeededNumbers(seed: seed, "picture"))
        return scan.run()
    }
}

extension JPEGEncoder {
    /// The markers before the entropy-coded data.
    private func header(width: Int, height: Int) -> [UInt8] {
        var bytes: [UInt8] = [0xff, 0xd8]
        func segment(_ marker: UInt8, _ content: [UInt8]) {
            let length = content.count + 2
            bytes += [0xff, marker, UInt8(length >> 8), UInt8(length & 0xff)] + content
        }
        segment(0xe0, Array("JFIF\0".utf8) + [1, 1, 0, 0, 1, 0, 1, 0, 0])
        for (number, table) in [luminance, chrominance].enumerated() {
            segment(0xdb, [UInt8(number)] + JPEGTables.zigzag.map { UInt8(table[$0]) })
        }
        let sampling: UInt8 = subsampled ? 0x22 : 0x11
        segment(
            0xc0,
            [8, UInt8(height >> 8), UInt8(height & 0xff), UInt8(width >> 8), UInt8(width & 0xff), 3]
                + [1, sampling, 0, 2, 0x11, 1, 3, 0x11, 1])
        let tables: [(UInt8, JPEGTables.Huffman)] = [
            (0x00, JPEGTables.luminanceDC), (0x10, JPEGTables.luminanceAC),
            (0x01, JPEGTables.chrominanceDC), (0x11, JPEGTables.chrominanceAC),
        ]
        for (number, table) in tables { segment(0xc4, [number] + table.counts + table.symbols) }
        segment(0xda, [3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0])
        return bytes
    }

    /// One picture on its way.
    private struct Scan {
        let encoder: JPEGEncoder
        let map: ClassMap
        var random: SeededNumbers
        var writer: JPEGBitWriter
        /// The DC coefficients last sent: Y, Cb, Cr.
        var previous = [0, 0, 0]
        var samples = [Int](repeating: 0, count: 64)

        init(encoder: JPEGEncoder, map: ClassMap, random: SeededNumbers) {
            self.encoder = encoder
            self.map = map
            self.random = random
            writer = JPEGBitWriter(appendingTo: encoder.header(width: map.width, height: map.height))
        }

        mutating func run() -> [UInt8] {
            let step = encoder.subsampled ? 16 : 8
            for y in stride(from: 0, to: map.height, by: step) {
                for x in stride(from: 0, to: map.width, by: step) {
                    for part in 0..<(encoder.subsampled ? 4 : 1) {
                        luma(x: x + part % 2 * 8, y: y + part / 2 * 8)
                    }
                    chroma(x: x, y: y, pitch: step / 8)
                }
            }
            return writer.finish() + [0xff, 0xd9]
        }

        /// How much darker or lighter the background is around a pixel: lit from above,
        /// darker to the edges, and in folds like cloth.
        private func light(x: Int, y: Int) -> Int {
            let fold = ((x * 3 + y) / 2) % 256
            let wave = (fold < 128 ? fold : 255 - fold) / 16
            let fall = (map.height - y) * 12 / map.height
            let side = abs(2 * x - map.width) * 10 / map.width
            return wave + fall - side
        }

        /// The class of a whole square, or nil if it holds several.
        private func uniformClass(x: Int, y: Int, size: Int) -> Int? {
            let width = map.width
            // Blocks past the edge repeat the pixel at it.
            guard y < map.height, x < width else { return Int(pixel(x: x, y: y)) }
            let rows = y..<min(map.height, y + size)
            let columns = x..<min(width, x + size)
            return map.pixels.withUnsafeBytes { bytes in
                let number = bytes[rows.lowerBound * width + columns.lowerBound]
                if columns.count == size {
                    let pattern = UInt64(number) &* 0x0101_0101_0101_0101
                    for row in rows {
                        for column in stride(from: columns.lowerBound, to: columns.upperBound, by: 8)
                        where bytes.loadUnaligned(fromByteOffset: row * width + column, as: UInt64.self)
                            != pattern
                        {
                            return nil
                        }
                    }
                } else {
                    for row in rows {
                        for column in columns where bytes[row * width + column] != number { return nil }
                    }
                }
                return Int(number)
            }
        }

        private func pixel(x: Int, y: Int) -> UInt8 {
            map.pixels[min(y, map.height - 1) * map.width + min(x, map.width - 1)]
        }

        private mutating func luma(x: Int, y: Int) {
            if let number = uniformClass(x: x, y: y, size: 8) {
                let look = encoder.looks[number]
                let level = look.y + (look.shaded ? light(x: x + 4, y: y + 4) : 0)
                writeDC(level - 128, component: 0)
                for string in encoder.lumaGrain[number][random.below(JPEGEncoder.variants)] {
                    writer.write(string)
                }
                return
            }
            for row in 0..<8 {
                for column in 0..<8 {
                    let look = encoder.looks[Int(pixel(x: x + column, y: y + row))]
                    samples[row * 8 + column] =
                        look.y - 128 + (look.shaded ? light(x: x + column, y: y + row) : 0) + random.below(5)
                        - 2
                }
            }
            writeBlock(component: 0)
        }

        private mutating func chroma(x: Int, y: Int, pitch: Int) {
            if let number = uniformClass(x: x, y: y, size: 8 * pitch) {
                let look = encoder.looks[number]
                for component in 1...2 {
                    writeDC((component == 1 ? look.cb : look.cr) - 128, component: component)
                    let variant = random.below(JPEGEncoder.variants)
                    for string in encoder.chromaGrain[number][variant] { writer.write(string) }
                }
                return
            }
            for component in 1...2 {
                for row in 0..<8 {
                    for column in 0..<8 {
                        var sum = 0
                        for dy in 0..<pitch {
                            for dx in 0..<pitch {
                                let number = pixel(x: x + column * pitch + dx, y: y + row * pitch + dy)
                                let look = encoder.looks[Int(number)]
                                sum += component == 1 ? look.cb : look.cr
                            }
                        }
                        samples[row * 8 + column] = sum / (pitch * pitch) - 128
                    }
                }
                writeBlock(component: component)
            }
        }

        /// An even block's DC coefficient: eight times its level, quantised.
        private mutating func writeDC(_ level: Int, component: Int) {
            let step = (component == 0 ? encoder.luminance : encoder.chrominance)[0]
            sendDC(Self.quantised(8 * level, step), component: component)
        }

        private mutating func sendDC(_ value: Int, component: Int) {
            let difference = value - previous[component]
            previous[component] = value
            let size = difference == 0 ? 0 : Int.bitWidth - difference.magnitude.leadingZeroBitCount
            let table = component == 0 ? JPEGTables.luminanceDC : JPEGTables.chrominanceDC
            writer.write(JPEGEncoder.joined(table.codes[size], difference, size))
        }

        private static func quantised(_ value: Int, _ step: Int) -> Int {
            value >= 0 ? (value + step / 2) / step : -((-value + step / 2) / step)
        }

        /// Transforms, quantises and sends ``samples``.
        private mutating func writeBlock(component: Int) {
            let table = component == 0 ? encoder.luminance : encoder.chrominance
            let coefficients = CosineTransform.forward(samples)
            var block = [Int](repeating: 0, count: 64)
            for place in 0..<64 {
                let source = JPEGTables.zigzag[place]
                block[place] = Self.quantised(coefficients[source], table[source])
            }
            sendDC(block[0], component: component)
            let codes = component == 0 ? JPEGTables.luminanceAC : JPEGTables.chrominanceAC
            for string in JPEGEncoder.entropyCoded(block, codes) { writer.write(string) }
        }
    }
}

/// The discrete cosine transform of 8 × 8 samples (T.81, A.3.3) in fixed point.
enum CosineTransform {
    /// 2¹³ · C(u)/2 · cos((2x + 1)uπ/16), by u and x.
    private static let basis: [Int] = (0..<64).map { index in
        let u = index / 8
        let x = index % 8
        let scale = u == 0 ? 0.353_553_390_593_273_8 : 0.5
        return Int((8192 * scale * Angle.cosine(Double((2 * x + 1) * u) * Angle.turn / 32)).rounded())
    }

    static func forward(_ samples: [Int]) -> [Int] {
        var rows = [Int](repeating: 0, count: 64)
        for y in 0..<8 {
            for u in 0..<8 {
                var sum = 0
                for x in 0..<8 { sum += samples[y * 8 + x] * basis[u * 8 + x] }
                rows[y * 8 + u] = sum
            }
        }
        var result = [Int](repeating: 0, count: 64)
        for v in 0..<8 {
            for u in 0..<8 {
                var sum = 0
                for y in 0..<8 { sum += rows[y * 8 + u] * basis[v * 8 + y] }
                result[v * 8 + u] = (sum + (1 << 25)) >> 26
            }
        }
        return result
    }
}

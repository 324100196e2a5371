import PlantDBCore
import PlantDBTesting
import TestDatabases
import Testing

@Suite struct FormatTests {
    @Test func everyPictureOfEveryDatasetDecodes() async throws {
        let generated = try await Generated(TestDataset.all)
        var sizes: [String: Set<[Int]>] = [:]
        for path in try treeSnapshot(generated.root, hashesContent: false).files.keys {
            let folder = path.split(separator: "/").dropLast().joined(separator: "/")
            if path.hasSuffix(".jpg") {
                let picture = try ParsedJPEG(bytesOnDisk(generated.root + "/" + path))
                #expect(picture.blocks == picture.blocksExpected, "\(path)")
                // It shows something.
                #expect(Set(picture.luminance).count > 10, "\(path)")
                sizes[folder, default: []].insert([picture.width, picture.height])
            } else if path.hasSuffix(".png") {
                let picture = try ParsedPNG(bytesOnDisk(generated.root + "/" + path))
                sizes[folder, default: []].insert([picture.width, picture.height])
                if path.contains("_background") { #expect(Set(picture.samples) == [0, 255], "\(path)") }
            }
        }
        #expect(sizes["arabidopsis000/images"] == [[120, 67]])
        #expect(sizes["real_plant/images"] == [[180, 135]])
        #expect(sizes["virtual_plant/images"] == [[112, 112]])
        #expect(sizes.count == 7)
    }

    /// The masks of a view divide it up: background where nothing else is.
    @Test func masksOfAViewFitTogether() async throws {
        let generated = try await Generated([.virtualPlant])
        func samples(_ channel: String) throws -> [UInt8] {
            try ParsedPNG(bytesOnDisk(generated.root + "/virtual_plant/images/00004_\(channel).png")).samples
        }
        let organs = try ["stem", "leaf", "pedicel", "fruit", "flower"].map(samples)
        let background = try samples("background")
        for pixel in background.indices {
            let covered = organs.count { $0[pixel] == 255 }
            #expect(covered == (background[pixel] == 255 ? 0 : 1))
        }
        #expect(organs[0].contains(255) && organs[1].contains(255))
    }

    @Test func pointCloudsAndMeshesParse() async throws {
        let generated = try await Generated([.realPlantAnalyzed, .virtualPlantAnalyzed])
        var count = 0
        for path in try treeSnapshot(generated.root, hashesContent: false).files.keys
        where path.hasSuffix(".ply") {
            let model = try ParsedPLY(bytesOnDisk(generated.root + "/" + path))
            #expect(model.vertices > 50, "\(path)")
            #expect((model.faces > 0) == path.hasSuffix("TriangleMesh.ply"), "\(path)")
            count += 1
        }
        #expect(count == 5)
    }

    @Test func voxelsAreATIFFOfOnePageForEachX() async throws {
        let generated = try await Generated([.realPlantAnalyzed])
        let path = "/real_plant_analyzed/Voxels___x____300__450__colmap_camera_False_2a093f0ccc/Voxels.tiff"
        let bytes = try bytesOnDisk(generated.root + path)
        func half(_ place: Int) -> Int { Int(bytes[place]) | Int(bytes[place + 1]) << 8 }
        func word(_ place: Int) -> Int { half(place) | half(place + 2) << 16 }
        #expect(Array(bytes[..<4]) == [0x49, 0x49, 42, 0])
        var pages = 0
        var filled = 0
        var place = word(4)
        while place != 0 {
            var tags: [Int: Int] = [:]
            let count = half(place)
            for entry in 0..<count {
                let start = place + 2 + 12 * entry
                tags[half(start)] = word(start + 8)
            }
            #expect([tags[256], tags[257], tags[258]] == [71, 38, 32])
            let offset = try #require(tags[273])
            let strip = try Inflated(zlib: Array(bytes[offset..<(offset + #require(tags[279]))])).bytes
            #expect(strip.count == 71 * 38 * 4)
            filled += strip.count { $0 == 1 }
            pages += 1
            place = word(place + 2 + 12 * count)
        }
        #expect(pages == 38)
        #expect(filled > 100)
    }

    @Test func modelNamesItsMaterials() async throws {
        let generated = try await Generated([.virtualPlant])
        let folder =
            generated.root
            + "/virtual_plant/VirtualPlant_arabidopsis_note___BRANCHON___fal___angles____inte_a7299a0b5f"
        let model = String(decoding: try bytesOnDisk(folder + "/VirtualPlant.obj"), as: UTF8.self)
        let materials = String(decoding: try bytesOnDisk(folder + "/VirtualPlant_mtl.mtl"), as: UTF8.self)
        let lines = model.split(separator: "\n")
        let vertices = lines.count { $0.hasPrefix("v ") }
        let normals = lines.count { $0.hasPrefix("vn ") }
        #expect(vertices > 500)
        for line in lines where line.hasPrefix("f ") {
            for corner in line.dropFirst(2).split(separator: " ") {
                let parts = corner.split(separator: "/").compactMap { Int($0) }
                #expect(
                    parts.count == 2 && (1...vertices).contains(parts[0]) && (1...normals).contains(parts[1]))
            }
        }
        for line in lines where line.hasPrefix("usemtl ") {
            #expect(materials.contains("newmtl " + line.dropFirst(7) + "\n"))
        }
        #expect(lines.contains("mtllib VirtualPlant_mtl.mtl"))
    }
}

/// A binary little-endian PLY of vertices and triangles.
struct ParsedPLY {
    var vertices = 0
    var faces = 0

    struct Malformed: Error { var reason: String }

    init(_ bytes: [UInt8]) throws {
        let marker = Array("end_header\n".utf8)
        guard let end = (0..<min(2000, bytes.count)).first(where: { bytes[$0...].starts(with: marker) })
        else {
            throw Malformed(reason: "no end of the header")
        }
        let header = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\n")
        guard header.starts(with: ["ply", "format binary_little_endian 1.0"]) else {
            throw Malformed(reason: "magic or format")
        }
        var vertexSize = 0
        for line in header {
            let words = line.split(separator: " ")
            switch words[0] {
            case "element" where words[1] == "vertex": vertices = Int(words[2]) ?? 0
            case "element": faces = Int(words[2]) ?? 0
            case "property" where words[1] == "double": vertexSize += 8
            case "property" where words[1] == "uchar": vertexSize += 1
            default: break
            }
        }
        var place = end + marker.count + vertices * vertexSize
        guard bytes.count == place + 13 * faces else { throw Malformed(reason: "\(bytes.count) bytes") }
        for vertex in 0..<vertices {
            let start = end + marker.count + vertex * vertexSize
            let pattern = bytes[start..<(start + 8)].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
            guard Double(bitPattern: pattern).isFinite else { throw Malformed(reason: "vertex \(vertex)") }
        }
        while place < bytes.count {
            guard bytes[place] == 3 else { throw Malformed(reason: "a face that is no triangle") }
            for corner in 0..<3 {
                let start = place + 1 + 4 * corner
                let index = bytes[start..<(start + 4)].reversed().reduce(0) { $0 << 8 | Int($1) }
                guard index < vertices else { throw Malformed(reason: "vertex \(index) of \(vertices)") }
            }
            place += 13
        }
    }
}

import FSDB
import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

extension UpstreamTests {
    /// Upstream reads what our object model wrote.
    @Suite struct DatabasesMadeByUs {
        let temporary: TemporaryDirectory
        let shop: Workshop

        init() throws {
            temporary = try TemporaryDirectory()
            shop = Workshop(folder: temporary.path)
        }

        @Test func areReadByUpstream() async throws {
            let path = shop("ours")
            let database = try FSDB.createEmptyDatabase(at: path)
            try database.connect()
            try fill(database)
            let ours = try Listing(database)
            database.disconnect()
            #expect(ours.fileCount == 4)

            for library in UpstreamLibrary.tested {
                let theirs = try await shop.upstreamListing(of: path, with: library)
                let difference = theirs.withoutDerivedMetadata.differences(from: ours.withoutDerivedMetadata)
                #expect(difference.isEmpty, "\(library.rawValue): \(difference)")
                // Without metadata of its images nothing is derived.
                let plain = "plant-b metadata object = "
                #expect(
                    theirs.lines.filter { $0.hasPrefix(plain) } == ours.lines.filter { $0.hasPrefix(plain) })
            }
        }

        /// `json.dump(…, sort_keys=True, indent=4, separators=(',', ': '))`, byte for byte.
        @Test func haveTheBytesOfPython() async throws {
            let database = try FSDB.createEmptyDatabase(at: shop("ours"))
            try database.connect()
            try fill(database)
            database.disconnect()
            let written = try treeSnapshot(shop("ours")).files.keys
                .filter { $0.hasSuffix("files.json") || $0.contains("/metadata/") }.sorted()
            // Of what has no metadata there is no file, as in 0.14.
            #expect(
                written == [
                    "plant-b/files.json", "plant-b/metadata/metadata.json", "plant_a/files.json",
                    "plant_a/metadata/images.json", "plant_a/metadata/images/00000_rgb.json",
                    "plant_a/metadata/images/00001_rgb.json", "plant_a/metadata/metadata.json",
                ])
            let different = try await shop.run(.dump, written.map { shop("ours/" + $0) }, with: .v017)
            #expect(different == [[]], "\(different.map { $0.pythonText() })")
        }

        /// What upstream made stays whole when we change it, and the other way round.
        @Test(arguments: UpstreamLibrary.tested)
        func areChangedInTurn(library: UpstreamLibrary) async throws {
            let path = shop("shared")
            try SampleDatabase().write(to: path)
            _ = try await shop.run(.create, [path], with: library)
            let database = try FSDB(path)
            try database.connect()
            let scan = try database.getScan("plant_a")
            try scan.setMetadata("reviewed", true)
            let file = try scan.getFileset("images").createFile("00003_rgb", metadata: ["channel": "rgb"])
            try file.write([1, 2, 3], ext: "jpg")
            try scan.deleteFileset("PointCloud_1_0_Voxels-x")
            try database.deleteScan("plant-b")
            let ours = try Listing(database)
            database.disconnect()

            let theirs = try await shop.upstreamListing(of: path, with: library)
            let difference = theirs.withoutDerivedMetadata.differences(from: ours.withoutDerivedMetadata)
            #expect(difference.isEmpty, "\(difference)")
            #expect(theirs.lines.contains(#"plant_a filesets: ["images"]"#))
            #expect(theirs.lines.contains("plant_a metadata reviewed = true"))
            #expect(!theirs.description.contains("plant-b"))
        }

        private func fill(_ database: FSDB) throws {
            let values: JSONObject = [
                "object": ["species": "Solanum lycopersicum", "note": "été ☃ 🌱", "DAG": 40],
                "numbers": [
                    0, -1, .number(0.1), .number(1e-05), .number(1e16), .number(1e22), .number(1.0),
                    .number(-0.0), .number(123456.789), .number(.leastNonzeroMagnitude),
                    .number(.greatestFiniteMagnitude),
                    .number("123456789012345678901234567890"),
                ],
                "odd": [
                    "nan": .number(.nan), "inf": .number(.infinity), "minus": .number(-.infinity),
                    "empty": [:], "none": [], "null": .null, "yes": true, "nested": [[1, [2]], [:]],
                ],
                "text":
                    "quote \" backslash \\ slash / tab \t newline \n del \u{7f} nul \u{0} \u{1f} \u{2028}",
                "Z": 1, "a": 2, "é": 3, "\u{fb01}": 4, "🌱": 5, "_": 6,
            ]
            let scan = try database.createScan("plant_a", metadata: values)
            let images = try scan.createFileset("images", metadata: ["channels": ["rgb"]])
            for number in 0..<2 {
                let file = try images.createFile("0000\(number)_rgb", metadata: ["channel": "rgb"])
                try file.write([255, 216, UInt8(number)], ext: "jpg")
                try file.setMetadata("pose", [.number(Double(number) / 3), .number(90.0)])
            }
            let cloud = try scan.createFileset("PointCloud_1_0_Voxels-x")
            try cloud.createFile("PointCloud").write("ply\n", ext: "ply")

            let second = try database.createScan("plant-b", metadata: ["object": ["species": "Malus"]])
            try second.setMetadata("state", "growing")
            let file = try second.createFileset("images").createFile("0")
            try writeFile(shop("0.png"), [137, 80])
            try file.importFile(from: shop("0.png"))
            try second.createFileset("nothing_yet")
        }
    }
}

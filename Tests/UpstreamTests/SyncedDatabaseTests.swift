import PlantDBTesting
import Testing

extension UpstreamTests {
    /// What `plantdb sync` wrote shows in upstream as the source does.
    @Suite struct SyncedDatabases {
        let temporary: TemporaryDirectory
        let shop: Workshop

        init() throws {
            temporary = try TemporaryDirectory()
            shop = Workshop(folder: temporary.path)
        }

        @Test(.enabled(if: romiDataset != nil, "the genuine ROMI dataset does not lie beside the package"))
        func genuine() async throws {
            let dataset = try #require(romiDataset)
            try await Product.sync(dataset, shop("target"), folder: shop.folder)
            // Upstream writes into what it opens, so it gets a copy of the source.
            let copy = try await ChildProcess.run("cp", ["-a", dataset, shop("copy")], folder: shop.folder)
            try #require(copy.status == 0, "\(copy.errors)")
            let listing = try await expectSameListings("copy", "target")
            #expect(listing.fileCount > 100)
        }

        @Test func generated() async throws {
            let made = try await Product.run("testdb", shop("source"), "virtual_plant", folder: shop.folder)
            try #require(made.status == 0, "\(made.errors)")
            try await Product.sync(shop("source"), shop("target"), folder: shop.folder)
            let listing = try await expectSameListings("source", "target")
            #expect(listing.fileCount > 100)
        }

        @Test func samples() async throws {
            var database = try SampleDatabase.plants(3)
            for (scan, tree) in try SampleDatabase.random(scans: 6, seed: 7).scans {
                database.scans[scan] = tree
            }
            try database.add("minimal", .minimal("é"))
            try database.write(to: shop("source"))
            try await Product.sync(shop("source"), shop("target"), folder: shop.folder)
            _ = try await expectSameListings("source", "target")
        }

        /// Content, index and metadata of a scan that was there before.
        @Test func updated() async throws {
            var database = try SampleDatabase.plants(2)
            try database.write(to: shop("source"))
            try await Product.sync(shop("source"), shop("target"), folder: shop.folder)
            var tree = try #require(database["plant_0"])
            try tree.file("images/new.jpg", "new", modified: .init(seconds: 1_800_000_000))
            try tree.file("images/00000_rgb.jpg", "changed", modified: .init(seconds: 1_800_000_000))
            try tree.file("metadata/images/new.json", #"{"channel": "mask"}"#)
            try tree.file(
                "metadata/metadata.json", #"{"later": NaN}"#, modified: .init(seconds: 1_800_000_000))
            try tree.writeIndex(modified: .init(seconds: 1_800_000_000))
            try database.add("plant_0", tree)
            try database.write(to: shop("source"))
            try await Product.sync(shop("source"), shop("target"), folder: shop.folder)
            let listing = try await expectSameListings("source", "target")
            #expect(listing.lines.contains("plant_0 metadata later = NaN"))
        }

        /// A target of selected filesets is whole in itself.
        @Test func oneFileset() async throws {
            try SampleDatabase.plants(2).write(to: shop("source"))
            try await Product.sync(
                shop("source"), shop("target"), "--fileset", "images", folder: shop.folder)
            for library in UpstreamLibrary.tested {
                let listing = try await shop.upstreamListing(of: shop("target"), with: library)
                #expect(listing.lines.contains(#"plant_0 filesets: ["images"]"#))
                #expect(listing.fileCount == 6)
            }
        }

        /// In both releases, and in our own object model.
        private func expectSameListings(_ source: String, _ target: String) async throws -> Listing {
            let ours = try Listing.ofOurs(shop(target))
            for library in UpstreamLibrary.tested {
                let expected = try await shop.upstreamListing(of: shop(source), with: library)
                let found = try await shop.upstreamListing(of: shop(target), with: library)
                #expect(found == expected, "\(library.rawValue): \(found.differences(from: expected))")
                let difference = ours.withoutDerivedMetadata.differences(from: found.withoutDerivedMetadata)
                #expect(difference.isEmpty, "we and \(library.rawValue): \(difference)")
            }
            return ours
        }
    }
}

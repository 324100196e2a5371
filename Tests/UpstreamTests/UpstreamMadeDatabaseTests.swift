import PlantDBCore
import PlantDBTesting
import Testing

extension UpstreamTests {
    /// We read, check and sync what upstream's own interface wrote.
    @Suite struct DatabasesMadeByUpstream {
        let temporary: TemporaryDirectory
        let shop: Workshop

        init() throws {
            temporary = try TemporaryDirectory()
            shop = Workshop(folder: temporary.path)
        }

        @Test(arguments: UpstreamLibrary.tested)
        func areReadAndSynced(library: UpstreamLibrary) async throws {
            let made = shop("made")
            let target = shop("target")
            try SampleDatabase().write(to: made)
            _ = try await shop.run(.create, [made], with: library)
            let before = try treeSnapshot(made)
            try await Product.sync(made, target, folder: shop.folder)

            // Neither side holds more than it should, and every byte is the same.
            #expect(try treeSnapshot(made).differences(from: before).isEmpty)
            // The marker has content here, and only its being there counts.
            let own = ["romidb", "users.json", "groups.json", ".locks"]
            func synced(_ snapshot: TreeSnapshot) -> TreeSnapshot {
                TreeSnapshot(
                    items: snapshot.items.filter { path, _ in
                        path != "." && !own.contains { path == $0 || path.hasPrefix($0 + "/") }
                    })
            }
            let differences = synced(try treeSnapshot(target)).differences(from: synced(before))
            #expect(differences.isEmpty, "\(differences.joined(separator: "\n"))")

            let scans = try await Product.run("scans", target, folder: shop.folder)
            #expect(scans.output == "plant-b\nplant_a\n")
            let check = try await Product.run("check", "--json", target, folder: shop.folder)
            #expect(check.status == 0, "\(check.output)")
            #expect(!check.output.contains("refusal"), "\(check.output)")

            let ours = try Listing.ofOurs(target)
            #expect(ours.fileCount == 6)
            let theirs = try await shop.upstreamListing(of: made, with: library)
            let difference = ours.withoutDerivedMetadata.differences(from: theirs.withoutDerivedMetadata)
            #expect(difference.isEmpty, "\(difference)")
            for reader in UpstreamLibrary.tested {
                let copy = try await shop.upstreamListing(of: target, with: reader)
                let difference = copy.withoutDerivedMetadata.differences(from: theirs.withoutDerivedMetadata)
                #expect(difference.isEmpty, "\(reader.rawValue): \(difference)")
            }
        }

        /// We and upstream write the same bytes for the same change.
        @Test(arguments: UpstreamLibrary.tested)
        func aSecondSyncMovesNothing(library: UpstreamLibrary) async throws {
            try SampleDatabase().write(to: shop("made"))
            _ = try await shop.run(.create, [shop("made")], with: library)
            try await Product.sync(shop("made"), shop("target"), folder: shop.folder)
            // Opening a database, as its users do all the time, changes nothing that counts.
            _ = try await shop.upstreamListing(of: shop("target"), with: library)
            let again = try await Product.run(
                "sync", "-n", "--exit-code", "--checksum", shop("made"), shop("target"), folder: shop.folder)
            #expect(again.status == 0, "\(again.output)")
        }
    }
}

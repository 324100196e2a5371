import FSDB
import PlantDBCore
import PlantDBTesting
import TestDatabases
import Testing

/// The documented way to a database to try things on.
@Suite struct MakeTestDatabaseTests {
    private var options: TestDatabaseOptions { TestDatabaseOptions(source: .generate, detail: .small) }

    @Test func theDefaultIsTheAnalyzedPlant() async throws {
        let database = try await testDatabase(options: options)
        defer { removeFolder(database.path) }
        try database.connect()
        #expect(try database.listScans() == ["real_plant_analyzed"])
        let images = try database.getScan("real_plant_analyzed").getFileset("images")
        #expect(try images.listFiles().count == 60)
        try database.reload()
        database.disconnect()
        #expect(!database.isConnected)
    }

    @Test func nilIsEmptyAndAllIsTheFive() async throws {
        let folder = try TemporaryDirectory()
        let empty = try await testDatabase(nil, at: folder.appending("empty"))
        try empty.connect()
        #expect(try empty.listScans() == [])
        empty.disconnect()
        let full = try await testDatabase("all", at: folder.appending("full"), options: options)
        try full.connect()
        #expect(
            try full.listScans() == [
                "arabidopsis000", "real_plant", "real_plant_analyzed", "virtual_plant",
                "virtual_plant_analyzed",
            ])
        full.disconnect()
        await #expect(throws: DatabaseError(.invalidArgument, "")) {
            try await testDatabase("oak", at: folder.appending("none"))
        }
        try folder.remove()
    }

    private func removeFolder(_ path: String) {
        do { try removeTree(path) } catch { Issue.record("\(path) is left: \(error)") }
    }
}

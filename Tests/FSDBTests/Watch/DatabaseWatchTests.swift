import FSDB
import Foundation
import PlantDBCore
import PlantDBTesting
import Testing

@Suite struct DatabaseWatchTests {
    let folder: TemporaryDirectory
    var path: String { folder.appending("db") }

    init() throws {
        folder = try TemporaryDirectory()
        try SampleDatabase.plants(1, images: 2, seed: 1).write(to: folder.appending("db"))
    }

    /// - Returns: whether a change is seen within ten seconds.
    private func changes(_ watch: DatabaseWatch, _ change: () throws -> Void) async throws -> Bool {
        watch.forget()
        try change()
        for _ in 0..<200 {
            if watch.lastChange != nil { return true }
            try await Task.sleep(for: .milliseconds(50))
        }
        return false
    }

    @Test func changesAreSeenAlsoInFoldersThatAreNew() async throws {
        let watch = try DatabaseWatch(path: path)
        #expect(watch.problem == nil && watch.lastChange == nil)
        #expect(try await changes(watch) { try writeFile(path + "/plant_0/images/new.jpg", [1]) })
        let scan = path + "/plant_1"
        #expect(
            try await changes(watch) {
                try FileManager.default.createDirectory(atPath: scan, withIntermediateDirectories: false)
            })
        #expect(try await changes(watch) { try writeFile(scan + "/files.json", [1]) })
        #expect(try await changes(watch) { try FileManager.default.removeItem(atPath: scan) })
        watch.close()
        try folder.remove()
    }

    @Test func locksAndHiddenFilesAreNoChanges() async throws {
        let watch = try DatabaseWatch(path: path)
        for name in ["lock", ".write_test.tmp"] { try writeFile(path + "/" + name, []) }
        try FileManager.default.createDirectory(atPath: path + "/.locks", withIntermediateDirectories: false)
        // What comes after them is seen: so they were read, and left out.
        #expect(try await changes(watch) { try writeFile(path + "/plant_0/scan.toml", [1]) })
        watch.forget()
        try writeFile(path + "/.locks/plant_0.lock", [])
        try writeFile(path + "/lock", [1])
        try await Task.sleep(for: .milliseconds(300))
        #expect(watch.lastChange == nil)
        watch.close()
        try folder.remove()
    }

    @Test func aRootThatGoesAwayIsLost() async throws {
        let watch = try DatabaseWatch(path: path)
        #expect(try await changes(watch) { try FileManager.default.removeItem(atPath: path) })
        for _ in 0..<200 where !watch.isLost { try await Task.sleep(for: .milliseconds(50)) }
        #expect(watch.isLost)
        watch.close()
        #expect(throws: DatabaseError(.notFound, "")) { try DatabaseWatch(path: path) }
        try folder.remove()
    }
}

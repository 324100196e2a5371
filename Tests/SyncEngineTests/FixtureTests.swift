import Glibc
import PlantDBCore
import PlantDBTesting
import Testing

@Suite struct FixtureTests {
    @Test("A temporary folder goes with its value, whatever lies in it")
    func temporaryDirectory() throws {
        var path = ""
        do {
            let folder = try TemporaryDirectory()
            path = folder.path
            try SampleDatabase.plants(1).write(to: folder.appending("database"))
            #expect(chmod(folder.appending("database/plant_0"), 0) == 0)
            #expect(symlink("/", folder.appending("link")) == 0)
        }
        #expect(access(path, F_OK) != 0)
    }

    @Test("A tree written to disk reads back as it was")
    func treeOnDisk() throws {
        for seed in TestSeed.rounds(20) {
            let folder = try TemporaryDirectory()
            var generator = seed.generator
            let tree = try SampleTree.random(using: &generator)
            try tree.write(to: folder.appending("scan"))
            #expect(try SampleTree(readingFrom: folder.appending("scan")) == tree, "\(seed)")
        }
    }

    @Test("A snapshot sees a changed byte, mode, time, a link and a new file, and nothing else")
    func snapshots() throws {
        let folder = try TemporaryDirectory()
        let root = folder.appending("database")
        try SampleDatabase.plants(1).write(to: root)
        let before = try treeSnapshot(root)
        #expect(try treeSnapshot(root).differences(from: before).isEmpty)
        let file = root + "/plant_0/scan.toml"
        let changes: [() throws -> Void] = [
            { chmod(file, 0o640) },
            { try setModificationTime(file, ModificationTime(nanoseconds: 5)) },
            { try writeFile(root + "/plant_0/images/new", [1]) },
            { symlink("new", root + "/plant_0/images/link") },
        ]
        var last = before
        for change in changes {
            try change()
            let next = try treeSnapshot(root)
            #expect(next.differences(from: last).count == 1)
            last = next
        }
        let bytes = try bytesOnDisk(root + "/plant_0/scan.toml")
        try writeFile(file, bytes.reversed())
        try setModificationTime(file, ModificationTime(nanoseconds: 5))
        #expect(try treeSnapshot(root).differences(from: last).count == 1)
    }

    @Test("Equal seeds give equal databases")
    func seeds() throws {
        #expect(try SampleDatabase.random(seed: 5) == SampleDatabase.random(seed: 5))
        #expect(try SampleDatabase.random(seed: 5) != SampleDatabase.random(seed: 6))
        #expect(FaultPlan.random(seed: 5) == FaultPlan.random(seed: 5))
    }

    @Test("The package is found, and genuine data is a database where it is there")
    func package() throws {
        let root = try #require(packageRoot)
        #expect(access(root + "/Package.swift", R_OK) == 0)
        if let romiDataset { #expect(access(romiDataset + "/romidb", F_OK) == 0) }
    }
}

import Foundation
import PlantDBCore
import PlantDBTesting
import SyncEngine
import SyncHistory
import Testing

/// What runs remember, in its file.
@Suite struct SyncMemoryTests {
    private let folder: TemporaryDirectory
    private let scan: ScanID

    init() throws {
        folder = try TemporaryDirectory()
        scan = try ScanID("plant")
    }

    private func open(_ target: String = "T") throws -> SyncMemory {
        try SyncMemory(
            file: folder.appending("state/memory.sqlite"), source: DatabaseLocation(description: "S"),
            target: DatabaseLocation(description: target))
    }

    @Test("What is remembered of a pair is there for its next run, and for no other pair")
    func kept() throws {
        let first = try open()
        #expect(first.isEmpty && !first.knows(scan))
        try first.remember(ScanMemory(), of: scan)
        #expect(try first.recall(scan) == ScanMemory())
        try first.flush()
        let second = try open()
        #expect(!second.isEmpty && second.knows(scan) && second.scans == [scan])
        #expect(try second.recall(scan) == ScanMemory())
        #expect(try open("another").isEmpty)
        try second.forget(scan)
        try second.flush()
        #expect(try open().isEmpty)
        try folder.remove()
    }

    @Test("A file that is no memory is set aside, and the run goes on without")
    func damaged() throws {
        try open().remember(ScanMemory(), of: scan)
        let state = folder.appending("state")
        for name in try FileManager.default.contentsOfDirectory(atPath: state) {
            try removeTree(state + "/" + name)
        }
        try writeFile(state + "/memory.sqlite", Array("nothing that SQLite could read".utf8))
        let memory = try open()
        #expect(memory.isEmpty)
        try memory.remember(ScanMemory(), of: scan)
        try memory.flush()
        #expect(try open().knows(scan))
        let left = try FileManager.default.contentsOfDirectory(atPath: state)
        #expect(left.contains { $0.hasPrefix("memory.sqlite.damaged-") }, "\(left)")
        try folder.remove()
    }
}

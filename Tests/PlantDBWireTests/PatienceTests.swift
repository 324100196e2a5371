import PlantDBCore
import PlantDBTesting
import PlantDBWire
import Testing

@Suite struct PatienceTests {
    @Test("A byte now and then uses it up; what comes steadily keeps it")
    func spending() {
        var trickled = Patience(.seconds(60))
        var seconds = 0
        while trickled.spend(.seconds(1), for: 1) { seconds += 1 }
        #expect((59...61).contains(seconds))
        var steady = Patience(.seconds(60))
        for _ in 0..<10_000 {
            let goesOn = steady.spend(.seconds(1), for: 500)
            #expect(goesOn)
        }
        // Much at once is no credit beyond the time itself.
        _ = steady.spend(.zero, for: 1 << 30)
        #expect(steady.left == .seconds(60))
        let goesOn = steady.spend(.seconds(61), for: 0)
        #expect(!goesOn)
    }

    @Test("It can be raised, and not lowered")
    func raising() {
        var patience = Patience(.seconds(20))
        patience.raise(to: .seconds(120))
        #expect(patience.left == .seconds(120))
        patience.raise(to: .seconds(10))
        #expect(patience.left == .seconds(120))
    }

    @Test("Requests for files ask for all of them, none larger than it may be, whatever the names")
    func requests() throws {
        var entries = (0..<3000).map { number in
            FileEntry(path: .index, size: Int64(number))
        }
        let long = String(repeating: "ü", count: 120)
        for number in entries.indices {
            entries[number].path = try ScanPath("\(long)/\(long)/\(100_000 + number).jpg")
            entries[number].modified = SampleTree.time
            entries[number].mode = 0o644
        }
        let all = EntrySelection(all: try ScanManifest(scan: ScanID("plant"), entries: entries))
        var asked: [String] = []
        while asked.count < all.count {
            let request = PeerReadRequest(all, from: asked.count, offset: 7)
            #expect(request.encoded().count <= PeerProtocol.readRequestBytes)
            #expect(!request.entries.isEmpty && request.offset == 7)
            asked += request.entries.map(\.path.rawValue)
        }
        #expect(asked == all.map(\.path.rawValue))
        #expect(PeerReadRequest(all, from: all.count).entries.isEmpty)
    }
}

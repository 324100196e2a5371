import FSDB
import Foundation
import PlantDBCore
import PlantDBSync
import PlantDBTesting
import SyncEngine
import Testing

/// Every kind of side with every other, on real servers: one table, which the documentation shows.
@Suite(
    .serialized, .enabled(if: SSHServer.isAvailable, "PAIRINGS NOT TESTED: sshd is missing"),
    .enabled(if: TestCertificate.isAvailable, "PAIRINGS NOT TESTED: openssl is missing"))
struct PairingTests {
    enum Kind: String, CaseIterable {
        case path, instance, http, https, ssh

        var title: String {
            switch self {
            case .path: "local path"
            case .instance: "`FSDB` instance"
            case .http: "`http://`"
            case .https: "`https://`"
            case .ssh: "`ssh://`"
            }
        }
    }

    private static let certificate = Result { try TestCertificate() }
    private static let sshd = Result { try SSHServer() }

    /// One database, reached in one way. Two of them make a pair.
    private final class Place {
        let path: String
        let side: SyncSide
        let access: RemoteAccess
        private let server: TestRestApiServer?
        private let instance: FSDB?

        init(_ kind: Kind, _ path: String) async throws {
            self.path = path
            var access = RemoteAccess()
            var server: TestRestApiServer?
            var instance: FSDB?
            switch kind {
            case .path: side = .location(path)
            case .instance:
                let database = try FSDB(path)
                try database.connect()
                side = .database(database)
                instance = database
            case .http, .https:
                let tls = kind == .https ? try certificate.get() : nil
                let started = TestRestApiServer(databasePath: path, prefix: "/lab", tls: tls)
                try await started.start()
                side = .location(try #require(started.baseURL))
                access.certificateAuthority = tls?.certificatePath
                server = started
            case .ssh:
                let sshd = try sshd.get()
                side = .location("ssh://\(sshd.user)@127.0.0.1:\(sshd.port)\(path)")
                access.sshOptions = sshd.sshOptions
                access.identity = sshd.identity
            }
            self.access = access
            self.server = server
            self.instance = instance
        }

        func close() async throws {
            instance?.disconnect()
            try await server?.stop()
        }
    }

    private static func differences(_ one: String, _ two: String) throws -> [String] {
        // A server keeps its staging directory, and an instance its lock, until it stops.
        try databaseDifferences(one, two).filter { !$0.hasPrefix(".plantdb-sync") && !$0.hasPrefix("lock") }
    }

    @Test("Every pairing: first run, second, a change, a deletion, one scan, an unknown scan, a lock, a stop")
    func allPairings() async throws {
        var table: [Kind: [Kind: Bool]] = [:]
        for from in Kind.allCases {
            for into in Kind.allCases {
                let before = Self.issues
                try await Self.check(from, into)
                table[from, default: [:]][into] = Self.issues == before
            }
        }
        try Self.document(table)
    }

    nonisolated(unsafe) private static var issues = 0  // Only this serialized test writes it.

    private static func expect(_ condition: Bool, _ what: String) {
        if !condition { issues += 1 }
        #expect(condition, "\(what)")
    }

    private static func check(_ from: Kind, _ into: Kind) async throws {
        let pair = "\(from.rawValue) → \(into.rawValue)"
        let folder = try TemporaryDirectory()
        let (one, two) = (folder.appending("source"), folder.appending("target"))
        if let romi = romiDataset {
            try FileManager.default.createDirectory(atPath: one, withIntermediateDirectories: false)
            for name in try FileManager.default.contentsOfDirectory(atPath: romi) where name != "lock" {
                try FileManager.default.copyItem(atPath: romi + "/" + name, toPath: one + "/" + name)
            }
        } else {
            try SampleDatabase.plants(3, images: 8, seed: 3).write(to: one)
        }
        try FSDB.createEmptyDatabase(at: two)
        let (source, target) = (try await Place(from, one), try await Place(into, two))
        var options = SyncOptions()
        options.deletion = .delete(limit: .percent(50))
        options.deletesUnknown = true
        options.retries = 0
        let sync = FSDBSync(
            source.side, target.side, options: options, sourceAccess: source.access,
            targetAccess: target.access)

        // A run that is stopped at once, and its repetition.
        let stopped = try sync.syncInBackground()
        stopped.cancel()
        expect(await sync.waitForSync(timeout: .seconds(5)), "\(pair): a cancelled run stops")
        expect(
            sync.syncError == nil || sync.syncError?.code == .cancelled, "\(pair): \(sync.syncError as Any)")

        let scans = try FileManager.default.contentsOfDirectory(atPath: one)
            .filter { FileManager.default.fileExists(atPath: one + "/" + $0 + "/images") }.sorted()
        let some = try await sync.sync(sourceScans: [scans[0]])
        expect(some.errors.isEmpty, "\(pair): one scan: \(some.errors)")
        let first = try await sync.sync()
        expect(first.errors.isEmpty, "\(pair): first: \(first.errors)")
        expect(try differences(one, two) == [], "\(pair): \(try differences(one, two))")
        expect(sync.syncProgress == 100, "\(pair): all of it")
        let second = try await sync.sync()
        expect(second.totals.bytesMoved == 0 && second.scansPublished == 0, "\(pair): second run")

        // One file changes, one goes.
        let images = "\(one)/\(scans[0])/images/"
        let files = try FileManager.default.contentsOfDirectory(atPath: images).sorted()
        try writeFile(images + files[0], Array("changed".utf8))
        try FileManager.default.removeItem(atPath: images + files[1])
        // What the index lists is not deleted, though the source has lost it.
        let lost = try await sync.sync()
        expect(
            lost.totals.filesMoved == 1 && lost.totals.filesDeleted == 0 && lost.totals.bytesMoved == 7,
            "\(pair): lost: \(lost.totals)")
        let index = "\(one)/\(scans[0])/files.json"
        var left = try FileIndex(parsing: try bytesOnDisk(index))
        var fileset = try #require(left.fileset("images"))
        let gone = try #require(fileset.files.first { $0.file == files[1] })
        fileset.remove(file: gone.id)
        left.update(fileset)
        try writeFile(index, left.encoded())
        let third = try await sync.sync()
        expect(
            third.totals.filesMoved == 1 && third.totals.filesDeleted == 1,
            "\(pair): third: \(third.totals)")
        expect(try differences(one, two) == [], "\(pair): \(try differences(one, two))")

        do throws(DatabaseError) {
            try await sync.sync(sourceScans: ["no_such_scan"])
            expect(false, "\(pair): an unknown scan is an error")
        } catch {
            expect(
                error.code == .notFound && error.description.contains("no_such_scan"), "\(pair): \(error)")
        }
        if into != .instance {
            let holder = try FSDB(two)
            try holder.connect()
            do throws(DatabaseError) {
                try await sync.sync()
                expect(false, "\(pair): a locked target is an error")
            } catch { expect(error.code == .locked, "\(pair): \(error)") }
            holder.disconnect()
        }
        try await target.close()
        try await source.close()
        expect(try databaseDifferences(one, two) == [], "\(pair): nothing is left behind")
        try folder.remove()
    }

    /// docs/pairings.md shows what was just seen.
    private static func document(_ table: [Kind: [Kind: Bool]]) throws {
        var lines = [
            "| from ＼ to | " + Kind.allCases.map(\.title).joined(separator: " | ") + " |",
            "| --- |" + String(repeating: " --- |", count: Kind.allCases.count),
        ]
        for from in Kind.allCases {
            let cells = Kind.allCases.map { table[from]?[$0] == true ? "yes" : "**no**" }
            lines.append("| \(from.title) | " + cells.joined(separator: " | ") + " |")
        }
        let path = try #require(packageRoot) + "/docs/pairings.md"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let (begin, end) = ("<!-- pairings:begin -->\n", "<!-- pairings:end -->")
        let start = try #require(text.range(of: begin)).upperBound
        let stop = try #require(text.range(of: end)).lowerBound
        let made = lines.joined(separator: "\n") + "\n"
        if ProcessInfo.processInfo.environment["PLANTDB_REGENERATE_DOCS"] == "1" {
            try text.replacingCharacters(in: start..<stop, with: made)
                .write(toFile: path, atomically: true, encoding: .utf8)
        } else {
            #expect(
                String(text[start..<stop]) == made,
                "docs/pairings.md is out of date: run the tests with PLANTDB_REGENERATE_DOCS=1")
        }
    }
}

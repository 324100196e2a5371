import Foundation
import Glibc
import PlantDBCore
import Testing

/// The command `plantdb` that was built with these tests.
enum Product {
    /// Where the build put it and the tests.
    static let directory: String = {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = readlink("/proc/self/exe", &path, Int(PATH_MAX))
        precondition(count > 0, "procfs tells where this program lies")
        let program = String(decoding: path.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return URL(fileURLWithPath: program).deletingLastPathComponent().path
    }()

    static func run(_ arguments: String..., folder: String) async throws -> ChildProcess.Ended {
        try await ChildProcess.run(directory + "/plantdb", arguments, folder: folder)
    }

    /// Syncs, and expects that all went well.
    static func sync(
        _ source: String, _ target: String, _ options: String..., folder: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let result = try await ChildProcess.run(
            directory + "/plantdb", ["sync", source, target] + options, folder: folder)
        #expect(result.status == 0, "\(result.errors)\(result.output)", sourceLocation: sourceLocation)
    }
}

/// A test's folder, and what upstream's library says about databases.
struct Workshop: Sendable {
    let folder: String

    func callAsFunction(_ name: String) -> String { folder + "/" + name }

    /// The answers of a driver that runs to its end, one a line.
    func run(
        _ driver: Driver, _ arguments: [String], with library: UpstreamLibrary,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> [JSONValue] {
        let result = try await ChildProcess.run(library.python, [driver.path] + arguments, folder: folder)
        try #require(
            result.status == 0,
            "\(driver.rawValue).py with \(library.rawValue): \(result.errors.suffix(4000))",
            sourceLocation: sourceLocation)
        return try result.output.split(separator: "\n").map { try JSONValue(parsing: Array($0.utf8)) }
    }

    func start(_ driver: Driver, _ arguments: [String], with library: UpstreamLibrary) throws -> ChildProcess
    {
        try ChildProcess(library.python, [driver.path] + arguments, folder: folder)
    }

    /// What a database holds in the eyes of upstream.
    /// - Throws: if it does not open.
    func upstreamListing(
        of database: String, with library: UpstreamLibrary, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> Listing {
        let answers = try await run(.list, [database], with: library, sourceLocation: sourceLocation)
        let answer = try #require(answers.first, sourceLocation: sourceLocation)
        let scans = try #require(
            answer["scans"], "\(library.rawValue) does not open \(database): \(answer)",
            sourceLocation: sourceLocation)
        #expect(
            answer["disconnecting"] == nil, "\(library.rawValue): \(answer)", sourceLocation: sourceLocation)
        return try Listing(scans)
    }
}

extension ChildProcess {
    /// The next line as JSON.
    func answer() async throws -> JSONValue {
        guard let line = await line() else {
            let ended = await end()
            throw ToolFailure(description: "no answer, status \(ended.status): \(ended.errors.suffix(4000))")
        }
        return try JSONValue(parsing: Array(line.utf8))
    }
}

import PlantDBCore
import PlantDBTesting
import Testing

extension UpstreamTests {
    /// `plantdb check` says of each oddity which release refuses the database, and that is
    /// what the release does.
    @Suite struct Oddities {
        let temporary: TemporaryDirectory
        let shop: Workshop

        init() throws {
            temporary = try TemporaryDirectory()
            shop = Workshop(folder: temporary.path)
        }

        @Test(arguments: UpstreamLibrary.allCases)
        func checkAgreesWithWhatOpens(library: UpstreamLibrary) async throws {
            try await compare(Oddity.content, library, options: [])
        }

        /// The files of users differ between the releases, so these are opened with them.
        @Test(arguments: UpstreamLibrary.allCases)
        func checkAgreesAboutUsersAndLocks(library: UpstreamLibrary) async throws {
            try await compare(Oddity.users, library, options: ["--with-users"])
        }

        /// All of one release in one process of its own, since starting one takes a while.
        private func compare(_ oddities: [Oddity], _ library: UpstreamLibrary, options: [String]) async throws
        {
            var refusals: [[JSONValue]] = []
            let paths = oddities.indices.map { shop("\($0)") }
            for (oddity, path) in zip(oddities, paths) {
                try oddity.make(in: path)
                refusals.append(try await checkRefusals(of: path, for: library))
            }
            let answers = try await shop.run(.list, options + ["--ids"] + paths, with: library)
            try #require(answers.count == oddities.count)
            for (position, oddity) in oddities.enumerated() {
                let answer = answers[position]
                let opens = try #require(answer["opened"]?.bool as Bool?)
                let reasons = refusals[position].compactMap { $0["reason"]?.string }
                let agrees = opens == reasons.isEmpty
                func judge() {
                    #expect(
                        agrees,
                        """
                        \(oddity.name): \(library.rawValue) \(opens ? "opens it" : "refuses it: \(answer)"); \
                        check says it \(reasons.isEmpty ? "opens" : "is refused: \(reasons)")
                        """)
                }
                if oddity.disagrees.contains(library) {
                    withKnownIssue("\(oddity.name), \(library.rawValue)") { judge() }
                } else {
                    judge()
                }
            }
        }

        private func checkRefusals(of path: String, for library: UpstreamLibrary) async throws -> [JSONValue]
        {
            let check = try await Product.run("check", "--json", path, folder: shop.folder)
            // 0: nothing to say; 1: errors found; 10: it is no database.
            if check.status == 10 { return [["reason": "not a database"]] }
            try #require(check.status == 0 || check.status == 1, "\(path): \(check.errors)")
            let release = library == .v014 ? "0.14" : "0.16+"
            return try check.output.split(separator: "\n").map { try JSONValue(parsing: Array($0.utf8)) }
                .filter { $0["event"] == "refusal" && $0["release"]?.string == release }
        }
    }
}

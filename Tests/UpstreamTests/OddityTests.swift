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

        @Test func checkAgreesWithWhatOpens() async throws {
            var statements: [Statement] = []
            for (number, oddity) in Oddity.content.enumerated() {
                let path = shop("check-\(number)")
                try oddity.make(in: path)
                statements.append(try await check(path))
            }
            for library in UpstreamLibrary.tested {
                let answers = try await open(Oddity.content, with: library)
                for (position, oddity) in Oddity.content.enumerated() {
                    let answer = answers[position]
                    let reasons = statements[position].reasons(library)
                    let opens = try #require(answer["opened"]?.bool as Bool?)
                    func judge() {
                        #expect(
                            opens == reasons.isEmpty,
                            """
                            \(oddity.name): \(library.rawValue) \
                            \(opens ? "opens it" : "refuses it: \(text(answer))"); \
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
        }

        /// Accounts and the lock can keep a release out as well. `plantdb check` speaks of the
        /// scans only, and what these do is written down here as it was seen.
        @Test func accountsAndLocksAreNotChecked() async throws {
            for (number, oddity) in Oddity.users.enumerated() {
                let path = shop("check-\(number)")
                try oddity.make(in: path)
                let statement = try await check(path)
                #expect(statement.status == 0, "\(oddity.name)")
                #expect(UpstreamLibrary.tested.allSatisfy { statement.reasons($0).isEmpty }, "\(oddity.name)")
            }
            for library in UpstreamLibrary.tested {
                let answers = try await open(Oddity.users, with: library, options: ["--with-users"])
                for (oddity, answer) in zip(Oddity.users, answers) {
                    let opens = try #require(answer["opened"]?.bool as Bool?)
                    #expect(
                        opens != oddity.refusing.contains(library),
                        "\(oddity.name): \(library.rawValue) \(text(answer))")
                }
            }
        }

        /// Every oddity anew for each release (some write into what they open), and all of them
        /// in one process, since starting one takes a while.
        private func open(
            _ oddities: [Oddity], with library: UpstreamLibrary, options: [String] = []
        ) async throws -> [JSONValue] {
            let paths = oddities.indices.map { shop("\(library.rawValue)-\($0)") }
            for (oddity, path) in zip(oddities, paths) { try oddity.make(in: path) }
            let answers = try await shop.run(.list, options + ["--ids"] + paths, with: library)
            try #require(answers.count == oddities.count)
            return answers
        }

        /// What `plantdb check` says of a database.
        private struct Statement {
            var status: Int32
            var events: [JSONValue]

            /// Why a release refuses it; empty: it opens.
            func reasons(_ library: UpstreamLibrary) -> [String] {
                if status == 10 { return ["not a database"] }
                return events.filter {
                    $0["event"] == "refusal" && $0["release"]?.string == library.generation
                }.compactMap { $0["reason"]?.string }
            }
        }

        private func check(_ path: String) async throws -> Statement {
            let check = try await Product.run("check", "--json", path, folder: shop.folder)
            // 0: nothing to say; 1: errors found; 10: it is no database.
            try #require([0, 1, 10].contains(check.status), "\(path): \(check.errors)")
            return Statement(
                status: check.status,
                events: try check.output.split(separator: "\n").map {
                    try JSONValue(parsing: Array($0.utf8))
                })
        }

        private func text(_ answer: JSONValue) -> String {
            "\(answer["error"]?.string ?? "opens it"): \(answer["message"]?.string ?? "")"
        }
    }
}

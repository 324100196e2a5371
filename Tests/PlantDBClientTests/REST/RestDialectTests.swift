import PlantDBCore
import Testing

@testable import PlantDBClient

/// Which release a home page is of, and what its routes are.
@Suite struct RestDialectTests {
    private func home(_ text: String) throws -> JSONValue { try JSONValue(parsing: Array(text.utf8)) }

    @Test func releasesAreToldByTheirHomePages() throws {
        let first = try home(
            #"{"name": "PlantDB REST API", "plantdb.server": "0.14.5", "endpoints": {}}"#)
        #expect(RestDialect(home: first, isVersioned: false)?.generation == .v014)
        let second = try home(
            #"{"name": "PlantDB REST API", "plantdb.server": "0.15.1", "authentication endpoints": {}}"#)
        #expect(RestDialect(home: second, isVersioned: false)?.generation == .v015)
        let third = try #require(RestDialect(home: second, isVersioned: true))
        #expect(third.generation == .v016 && third.release == "0.15.1")
        #expect(RestDialect(home: try home(#"{"name": "another"}"#), isVersioned: false) == nil)
        #expect(RestDialect(home: try home("[]"), isVersioned: true) == nil)
    }

    @Test("Each generation has its own paths, and no slash at either end of them")
    func paths() {
        let old = RestDialect(generation: .v014, release: "0.14.5")
        let middle = RestDialect(generation: .v015, release: "0.15.1")
        let new = RestDialect(generation: .v016, release: "0.17.0")
        #expect(old.path(of: .scan("a")) == "scans/a")
        #expect(middle.path(of: .scan("a")) == "scan/a")
        #expect(new.path(of: .scan("a")) == "api/v1/scans/a")
        #expect(old.path(of: .archive("a")) == "archive/a")
        #expect(new.path(of: .archive("a")) == "api/v1/assets/archive/a")
        #expect(new.path(of: .file("a/images/b.jpg")) == "api/v1/assets/files/a/images/b.jpg")
        #expect(old.path(of: .logout) == nil && middle.path(of: .logout) == "logout")
        #expect(
            middle.path(of: .rawUpload(scan: "a")) == "files/a" && new.path(of: .rawUpload(scan: "a")) == nil)
        let below = RestDialect(generation: .v016, release: "0.17.0", base: "")
        #expect(below.path(of: .scans) == "scans")
    }

    @Test("The server's words are found in whatever it sends, and nothing else is shown")
    func words() {
        func words(_ text: String) -> String? { RestFailure.words(of: Array(text.utf8)) }
        #expect(words(#"{"message": "no such scan"}"#) == "no such scan")
        #expect(words(#"{"error": "no\n such   scan"}"#) == "no such scan")
        #expect(words("Too many requests\n") == "Too many requests")
        #expect(words("<!doctype html><title>404</title>") == nil)
        #expect(words("") == nil)
        #expect(words("a\u{1b}[2Jb") == "a\\x1b[2Jb")
    }
}

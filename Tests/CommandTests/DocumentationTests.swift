import Foundation
import PlantDBTesting
import Testing

/// The articles, as a reader meets them.
@Suite struct DocumentationTests {
    /// In Markdown, on the web: every link to a file leads to one.
    @Test func linksLeadSomewhere() throws {
        let root = try #require(packageRoot)
        let articles =
            ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
            + (try FileManager.default.subpathsOfDirectory(atPath: root + "/docs").filter {
                $0.hasSuffix(".md")
            }
            .map { "docs/" + $0 })
        for article in articles {
            let text = String(decoding: try bytesOnDisk(root + "/" + article), as: UTF8.self)
            let folder = URL(fileURLWithPath: root + "/" + article).deletingLastPathComponent()
            for match in text.matches(of: /\]\(([^)#\s]+)(#[^)]*)?\)/) {
                let link = String(match.1)
                if link.contains("://") { continue }
                let path = folder.appendingPathComponent(link).standardizedFileURL.path
                #expect(FileManager.default.fileExists(atPath: path), "\(article): \(link)")
            }
        }
    }

    /// In the archive: DocC resolves every link, too; it says so where it does not.
    @Test func articlesBecomeAnArchive() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(packageRoot) + "/Scripts/doc.sh")
        process.arguments = ["--articles"]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(String(decoding: text, as: UTF8.self))")
    }
}

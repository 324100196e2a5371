import Foundation
import Testing

/// Texts that must not change unnoticed, in the folder `Golden` beside this file.
///
/// `PLANTDB_REGENERATE_GOLDEN=1 swift test --filter CommandTests` writes them anew: read the
/// difference before it is committed.
enum Golden {
    private static var folder: URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")
    }

    static func expect(
        _ text: String, is name: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let text = text.hasSuffix("\n") ? text : text + "\n"
        let file = folder.appendingPathComponent(name + ".txt")
        if ProcessInfo.processInfo.environment["PLANTDB_REGENERATE_GOLDEN"] == "1" {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        let golden = try String(decoding: Data(contentsOf: file), as: UTF8.self)
        #expect(text == golden, "Golden/\(name).txt differs", sourceLocation: sourceLocation)
    }
}

import PlantDBCore
import SyncEngine

/// A run's progress as text: a bar for a terminal, a line for anything else. Pure.
///
/// The bar has two tones: what is published stands solid, what is staged and not yet visible
/// lighter. The percentage is of published bytes, and 100 only when everything is published.
struct ProgressBar: Sendable {
    /// The characters it is drawn with.
    struct Glyphs: Sendable, Hashable {
        var published: Character
        var staged: Character
        var planned: Character

        static let unicode = Glyphs(published: "█", staged: "▒", planned: "·")
        /// For a terminal that does not say that it shows UTF-8.
        static let ascii = Glyphs(published: "#", staged: "+", planned: ".")
    }

    var glyphs: Glyphs

    /// At most `columns` characters; without the last column, where a terminal would wrap.
    func line(_ progress: SyncProgress, columns: Int) -> String {
        let available = max(0, columns - 1)
        let percent = Self.percent(progress)
        // Dropped from the end where the terminal is narrow, so in the order of their worth.
        var details = [Self.bytes(progress)]
        if progress.bytesPerSecond > 0 { details.append(Sizes.rate(progress.bytesPerSecond)) }
        if let seconds = progress.secondsRemaining {
            details.append(Durations.text(seconds: max(1, seconds.rounded())) + " left")
        }
        if let scans = Self.activeScans(progress) { details.append(scans) }

        let minimumBar = 12
        while true {
            let tail = ([percent] + details).joined(separator: "  ")
            let room = available - tail.count - 3
            if room >= minimumBar { return "[\(bar(progress, width: min(room, 40)))] \(tail)" }
            if details.isEmpty { return String(percent.prefix(available)) }
            details.removeLast()
        }
    }

    private func bar(_ progress: SyncProgress, width: Int) -> String {
        let published = Int(progress.fractionPublished * Double(width))
        let staged = max(published, Int(progress.fractionStaged * Double(width)))
        return String(repeating: glyphs.published, count: published)
            + String(repeating: glyphs.staged, count: staged - published)
            + String(repeating: glyphs.planned, count: width - staged)
    }

    /// The line for a log, where a bar cannot be redrawn.
    static func plainLine(_ progress: SyncProgress) -> String {
        var parts = ["progress: \(trimmed(percent(progress)))", bytes(progress) + " published"]
        let staged = Int(progress.fractionStaged * 100)
        if staged > Int(progress.fractionPublished * 100) { parts.append("\(staged) % staged") }
        if progress.bytesPerSecond > 0 { parts.append(Sizes.rate(progress.bytesPerSecond)) }
        if let seconds = progress.secondsRemaining {
            parts.append(Durations.text(seconds: max(1, seconds.rounded())) + " left")
        }
        parts.append(
            "\(Sizes.grouped(progress.scansFinished)) of \(Sizes.count(progress.scansPlanned, "scan")) done")
        return parts.joined(separator: ", ")
    }

    /// Right-aligned, so that what follows stands still.
    private static func percent(_ progress: SyncProgress) -> String {
        let value = String(Int(progress.fractionPublished * 100))
        return String(repeating: " ", count: 3 - value.count) + value + " %"
    }

    private static func trimmed(_ text: String) -> Substring { text.drop { $0 == " " } }

    private static func bytes(_ progress: SyncProgress) -> String {
        "\(Sizes.bytes(progress.bytesPublished)) of \(Sizes.bytes(progress.bytesPlanned))"
    }

    private static func activeScans(_ progress: SyncProgress) -> String? {
        guard let first = progress.activeScans.first else { return nil }
        let others = progress.activeScans.count - 1
        return others == 0 ? "\(first)" : "\(first) +\(others)"
    }
}

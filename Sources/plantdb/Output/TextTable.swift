/// Columns of text for a terminal; the last one is never padded.
struct TextTable: Sendable {
    enum Alignment: Sendable { case left, right }

    private let alignments: [Alignment]
    private var rows: [[String]] = []

    init(_ alignments: [Alignment]) { self.alignments = alignments }

    mutating func add(_ cells: String...) { rows.append(cells) }

    /// One string a row, columns two spaces apart, no blanks at the end.
    var lines: [String] {
        var widths = [Int](repeating: 0, count: alignments.count)
        for row in rows {
            for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                if column > 0 { line += "  " }
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                switch alignments[column] {
                case .right: line += padding + cell
                case .left: line += column == row.count - 1 ? cell : cell + padding
                }
            }
            while line.hasSuffix(" ") { line.removeLast() }
            return line
        }
    }
}

/// The table of the README.
func markdown(machine: Machine, results: [WorkResult], options: Options) -> String {
    var lines = [
        "| work | contender | median (min–max) | runs | plantdb ÷ it | target | met |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results {
        for (index, row) in result.rows.enumerated() {
            let cells = [
                index == 0 ? result.title : "", row.contender, row.value, row.runs,
                row.ratio.map { fixed($0, 2) } ?? "", row.target ?? "",
                row.isMet.map { $0 ? "yes" : "**no**" } ?? "",
            ]
            lines.append("| " + cells.joined(separator: " | ") + " |")
        }
    }
    lines.append("")
    lines.append("Measured on: \(machine.description).")
    lines.append(
        "Release build; \(options.rounds) interleaved rounds after one warm-up "
            + "(contenders without a target that take long: \(options.slowRounds), no warm-up); the source is in "
            + "the page cache; the target is removed and `sync` run before each measurement.")
    if options.scale != 1 {
        lines.append("The trees were scaled to \(options.scale) of their documented size.")
    }
    for note in results.flatMap(\.notes) { lines.append("- \(note)") }
    return lines.joined(separator: "\n") + "\n"
}

/// "12.3 ms", "1.23 s", "123 s".
func seconds(_ value: Double) -> String {
    if value < 1 { return "\(fixed(value * 1000, value < 0.1 ? 1 : 0)) ms" }
    return "\(fixed(value, value < 100 ? 2 : 0)) s"
}

/// In powers of a thousand: "51 MB", "1.10 GB".
func size(_ bytes: Double) -> String {
    if bytes >= 1e9 { return "\(fixed(bytes / 1e9, 2)) GB" }
    if bytes >= 1e6 { return "\(fixed(bytes / 1e6, bytes < 1e7 ? 1 : 0)) MB" }
    return "\(fixed(bytes / 1e3, 0)) kB"
}

/// With commas: "100,001".
func count(_ number: Int) -> String {
    let digits = Array(String(number))
    var result = ""
    for (index, digit) in digits.enumerated() {
        if index > 0 && (digits.count - index).isMultiple(of: 3) { result += "," }
        result.append(digit)
    }
    return result
}

/// Rounded to a number of decimals, at most 3, of a number that is not negative.
func fixed(_ value: Double, _ decimals: Int) -> String {
    let factor = [1.0, 10, 100, 1000][decimals]
    let scaled = (value * factor).rounded()
    guard decimals > 0 else { return String(Int(scaled)) }
    let whole = Int(scaled) / Int(factor)
    return "\(whole)." + decimal(Int(scaled) % Int(factor), digits: decimals)
}

/// "0.7", "0.85": as many decimals as it has, two at most.
func proportion(_ value: Double) -> String {
    fixed(value, abs(value * 10 - (value * 10).rounded()) < 1e-9 ? 1 : 2)
}

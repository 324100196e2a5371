import Glibc

/// What one contender took, over the rounds.
struct Series {
    var values: [Double] = []

    var median: Double? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// "1.23 s (1.20–1.31)", the range only where there is one.
    func text(_ format: (Double) -> String) -> String {
        guard let median, let low = values.min(), let high = values.max() else { return "no result" }
        return values.count == 1 ? format(median) : "\(format(median)) (\(format(low))–\(format(high)))"
    }
}

/// A line of the table.
struct Row {
    var contender: String
    var value: String
    var runs: String
    /// Ours by this contender's.
    var ratio: Double?
    var target: String?
    var isMet: Bool?
}

struct WorkResult {
    var title: String
    var rows: [Row] = []
    var notes: [String] = []
}

/// Measures one work.
struct WorkBench {
    let options: Options
    let toolbox: Toolbox
    let directory: String

    /// Runs every contender once a round, A B C A B C…, each on a target that `prepare` made.
    ///
    /// A contender that fails drops out and is told about.
    ///
    /// - Parameter check: looks at what a run left; a returned text is told about once.
    func rounds(
        _ contenders: [Contender],
        prepare: (Contender) throws(BenchError) -> Void,
        command: (Contender) -> Command,
        check: (Contender) throws(BenchError) -> String?
    ) throws(BenchError) -> (measurements: [String: [Measurement]], notes: [String]) {
        var measurements: [String: [Measurement]] = [:]
        var notes: [String] = []
        var failed: Set<String> = []
        var checked: Set<String> = []
        for round in 0...options.rounds {
            for contender in contenders where !failed.contains(contender.name) {
                if contender.isSlow && (round == 0 || round > options.slowRounds) { continue }
                try prepare(contender)
                sync()
                let result = try command(contender).run(log: toolbox.log)
                say("round \(round) \(contender.name): \(seconds(result.seconds)), exit \(result.exitCode)")
                guard result.exitCode == 0 else {
                    failed.insert(contender.name)
                    notes.append("\(contender.name) failed with exit code \(result.exitCode)")
                    say(toolbox.lastLines())
                    continue
                }
                if checked.insert(contender.name).inserted, let note = try check(contender) {
                    notes.append("\(contender.name): \(note)")
                    say("\(contender.name): \(note)")
                }
                if round > 0 { measurements[contender.name, default: []].append(result) }
            }
        }
        return (measurements, notes)
    }

    /// The rows of a timed work: who took how long, ours in proportion, which target is met.
    ///
    /// - Parameter targets: the largest allowed ratio to a contender, by its name.
    func timedRows(
        _ contenders: [Contender], _ measurements: [String: [Measurement]], targets: [String: Double]
    ) -> [Row] {
        func series(_ name: String) -> Series { Series(values: (measurements[name] ?? []).map(\.seconds)) }
        let subject = contenders.first(where: \.isSubject).flatMap { series($0.name).median }
        return contenders.map { contender in
            let series = series(contender.name)
            var row = Row(
                contender: contender.name, value: series.text(seconds), runs: "\(series.values.count)")
            guard !contender.isSubject, let median = series.median, let subject else { return row }
            let ratio = subject / median
            row.ratio = ratio
            if let target = targets[contender.name] {
                row.target = "≤ \(proportion(target))"
                row.isMet = ratio <= target
            }
            return row
        }
    }

    /// - Throws: if the disk has less than this to give, so that a full disk is nobody's surprise.
    func requireSpace(files: Double, bytes: Double) throws(BenchError) {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else {
            throw BenchError(errno: errno, "cannot ask \(directory)")
        }
        let free = Double(status.f_bavail) * Double(status.f_frsize)
        guard free >= bytes else {
            throw BenchError("needs \(size(bytes)) of disk in \(directory), which has \(size(free))")
        }
        // Some file systems have no fixed number of inodes and say 0.
        guard status.f_files == 0 || Double(status.f_favail) >= files else {
            throw BenchError("needs \(Int(files)) inodes in \(directory), which has \(status.f_favail)")
        }
    }
}

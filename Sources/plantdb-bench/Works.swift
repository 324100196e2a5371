import Glibc

extension WorkBench {
    func run(_ work: Work) throws(BenchError) -> [WorkResult] {
        switch work {
        case .large: [try firstSync(.large, targets: ["cp -a": 1.0, "rsync -a": 0.5])]
        case .small: [try firstSync(.small, targets: ["cp -a": 0.9, "rsync -a": 0.5])]
        case .unchanged: [try nothingToDo()]
        case .memory: [try peakMemory()]
        case .checksum: [try checksums()]
        case .startup: [startUp()]
        case .sshLarge: try sshLarge()
        case .sshSmall: try sshSmall()
        case .sshUnchanged: try sshUnchanged()
        case .sshLatency: try sshLatency()
        case .sshMemory: try sshMemory()
        case .sshAppend: try sshAppend()
        case .httpFile: try httpFile()
        case .httpLarge: try httpLarge()
        case .httpSmall: try httpSmall()
        case .httpUnchanged: try httpUnchanged()
        case .httpMemory: try httpMemory()
        case .httpArchive: try httpArchive()
        }
    }

    func target(of tree: Tree) -> String { tree.path + "-target" }

    private func firstSync(_ kind: Tree.Kind, targets: [String: Double]) throws(BenchError) -> WorkResult {
        try requireSpace(files: 250_000 * options.scale, bytes: 4e9 * options.scale)
        let tree = try Tree(kind, scale: options.scale, in: directory)
        let target = target(of: tree)
        let slow = kind == .small
        let contenders = [
            toolbox.plantdbSync, toolbox.plantdbSyncDurable, toolbox.copy, toolbox.rsync,
            toolbox.rclone(isSlow: slow), toolbox.upstream(isSlow: true),
        ].compactMap { $0 }
        let (measurements, notes) = try rounds(
            contenders,
            prepare: { (contender) throws(BenchError) in
                try removeTree(target)
                if contender.needsDatabase { try Bench.writeMarker(of: target) }
            },
            command: { $0.command(tree.path, target) },
            check: { (_) throws(BenchError) in try difference(from: tree, at: target) })
        try removeTree(target)
        return WorkResult(
            title: "first sync of \(count(tree.files)) files, \(size(Double(tree.bytes)))",
            rows: timedRows(contenders, measurements, targets: targets), notes: notes)
    }

    /// All contenders find the same target, a copy by `cp -a`.
    private func nothingToDo() throws(BenchError) -> WorkResult {
        try requireSpace(files: 250_000 * options.scale, bytes: 2e9 * options.scale)
        let tree = try Tree(.small, scale: options.scale, in: directory)
        let target = target(of: tree)
        try copyTree(tree.path, target)
        let contenders = [
            toolbox.plantdbSync, toolbox.rsync, toolbox.rclone(isSlow: false),
            toolbox.upstream(isSlow: true),
        ].compactMap { $0 }
        let (measurements, notes) = try rounds(
            contenders, prepare: { (_) throws(BenchError) in }, command: { $0.command(tree.path, target) },
            check: { (_) throws(BenchError) in try difference(from: tree, at: target) })
        try removeTree(target)
        return WorkResult(
            title: "second sync of \(count(tree.files)) files, nothing to do",
            rows: timedRows(contenders, measurements, targets: ["rsync -a": 0.5]), notes: notes)
    }

    /// The largest resident set of a first sync and of one with nothing to do.
    private func peakMemory() throws(BenchError) -> WorkResult {
        var result = WorkResult(title: "peak memory")
        let floor = try Command(["true"]).run(log: toolbox.log).peakMemoryBytes
        result.notes.append("peak memory: \(size(Double(floor))) is the least that can be measured")
        for (kind, limit) in [(Tree.Kind.small, 50e6), (.empty, 150e6)] {
            try requireSpace(files: 2_200_000 * options.scale, bytes: 9e9 * options.scale)
            let tree = try Tree(kind, scale: options.scale, in: directory)
            let target = target(of: tree)
            try removeTree(target)
            for run in ["first sync", "nothing to do"] {
                let measurement = try toolbox.plantdbSync.command(tree.path, target).run(log: toolbox.log)
                let files = "\(count(tree.files))\(kind == .empty ? " empty" : "") files"
                say("\(run) of \(files): \(size(Double(measurement.peakMemoryBytes)))")
                var row = Row(contender: "plantdb sync, \(run), \(files)", value: "failed", runs: "1")
                if measurement.exitCode == 0 {
                    let took = seconds(measurement.seconds)
                    row.value = "\(size(Double(measurement.peakMemoryBytes))) in \(took)"
                    row.target = "≤ \(size(limit))"
                    row.isMet = Double(measurement.peakMemoryBytes) <= limit
                } else {
                    say(toolbox.lastLines())
                }
                result.rows.append(row)
            }
            if let note = try difference(from: tree, at: target) {
                result.notes.append("peak memory: \(note)")
            }
            try removeTree(target)
            if kind == .empty && !options.keepsTrees { try Tree.remove(.empty, in: directory) }
        }
        return result
    }

    /// Both sides are read: twice the tree.
    private func checksums() throws(BenchError) -> WorkResult {
        try requireSpace(files: 10_000, bytes: 4e9 * options.scale)
        let tree = try Tree(.large, scale: options.scale, in: directory)
        let target = target(of: tree)
        try copyTree(tree.path, target)
        // A digest of a file that changed this very moment is nothing to keep.
        sleep(3)
        let script = "find \"$0\" \"$1\" -type f -print0 | xargs -0 -n 16 -P \"$(nproc)\" sha256sum"
        let first = Contender(name: "plantdb sync --checksum", isSubject: true) {
            toolbox.ours("sync", "--checksum", $0, $1)
        }
        let second = Contender(name: "plantdb sync --checksum, again", command: first.command)
        let sums = Contender(name: "sha256sum on \(Machine.cores) cores") {
            Command(["sh", "-c", script, $0, $1])
        }
        let contenders = [first, second, sums]
        var (measurements, notes) = try rounds(
            contenders,
            prepare: { (contender) throws(BenchError) in
                if contender.isSubject { try removeTree(toolbox.cache) }
                try makeDirectories(toolbox.cache)
            },
            command: { $0.command(tree.path, target) },
            check: { (_) throws(BenchError) in try difference(from: tree, at: target) })
        try removeTree(target)
        // The same throughput, so the allowed time is the reciprocal.
        var rows = timedRows(contenders, measurements, targets: [sums.name: 1 / 0.8])
        let bytes = Double(2 * tree.bytes)
        for index in rows.indices {
            let measured = measurements[rows[index].contender] ?? []
            let read = Series(values: measured.map { Double($0.bytesRead) }).median ?? 0
            let time = Series(values: measured.map(\.seconds)).median ?? 1
            if rows[index].contender == second.name {
                rows[index].value += ", \(size(read)) read"
                rows[index].ratio = nil
                rows[index].target = "reads no data"
                // Its own libraries, its cache and the indexes are read, the images are not.
                rows[index].isMet = measured.isEmpty ? false : read < bytes / 100
            } else {
                rows[index].value += ", \(size(bytes / time))/s"
            }
            if rows[index].contender == sums.name, let ratio = rows[index].ratio {
                rows[index].target = "≤ 1.25 (0.8 of its rate)"
                notes.append("checksum: plantdb reaches \(fixed(1 / ratio, 2)) of sha256sum's rate")
            }
        }
        return WorkResult(
            title: "checksums of both sides, \(size(bytes))", rows: rows, notes: notes)
    }

    private func startUp() -> WorkResult {
        var ours = Series()
        var nothing = Series()
        var notes: [String] = []
        do {
            for run in 0...(10 * options.rounds) {
                let measurement = try toolbox.ours("--version").run(log: toolbox.log)
                guard measurement.exitCode == 0 else {
                    throw BenchError("plantdb --version failed: \(toolbox.lastLines())")
                }
                let floor = try Command(["true"]).run(log: toolbox.log)
                if run > 0 {
                    ours.values.append(measurement.seconds)
                    nothing.values.append(floor.seconds)
                }
            }
        } catch {
            notes.append("\(error)")
        }
        return WorkResult(
            title: "start-up",
            rows: [
                Row(
                    contender: "plantdb --version", value: ours.text(seconds), runs: "\(ours.values.count)",
                    target: "≤ 20 ms", isMet: (ours.median ?? .infinity) <= 0.020),
                Row(contender: "true", value: nothing.text(seconds), runs: "\(nothing.values.count)"),
            ],
            notes: notes)
    }

    func copyTree(_ source: String, _ target: String) throws(BenchError) {
        try removeTree(target)
        let result = try Command(["cp", "-a", source, target]).run(log: toolbox.log)
        guard result.exitCode == 0 else { throw BenchError("cp failed: \(toolbox.lastLines())") }
    }

    /// What is wrong with a target that should hold all of the tree; nil: nothing.
    func difference(from tree: Tree, at target: String) throws(BenchError) -> String? {
        let found = try countFiles(target)
        if found == (tree.files, tree.bytes) { return nil }
        return "the target holds \(found.files) files, \(found.bytes) bytes; "
            + "the source \(tree.files) files, \(tree.bytes) bytes"
    }
}

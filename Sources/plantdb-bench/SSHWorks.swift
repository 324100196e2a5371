import Glibc

/// What is measured over SSH: a real server on the loopback interface of this machine, so that
/// both ends and the encryption share its cores.
extension WorkBench {
    private static let latencyMilliseconds = 20

    private func server() throws(BenchError) -> SSHServer {
        guard SSHServer.isAvailable else { throw BenchError("SKIPPED: there is no sshd") }
        return try SSHServer(in: directory, log: toolbox.log)
    }

    private func tools(_ server: SSHServer, port: UInt16? = nil) -> SSHToolbox {
        SSHToolbox(toolbox: toolbox, server: server, port: port ?? server.port)
    }

    /// - Parameter targets: the largest allowed ratio to a contender, by its name.
    private func firstSync(
        _ tree: Tree, _ direction: Direction, _ contenders: [Contender], targets: [String: Double],
        _ how: String = ""
    ) throws(BenchError) -> WorkResult {
        let target = target(of: tree)
        let (measurements, notes) = try rounds(
            contenders, prepare: { (_) throws(BenchError) in try removeTree(target) },
            command: { $0.command(tree.path, target) },
            check: { (contender) throws(BenchError) in
                // What reads and drops all has no target.
                exists(target) ? try difference(from: tree, at: target) : nil
            })
        try removeTree(target)
        return WorkResult(
            title:
                "ssh \(direction)\(how), first sync of \(count(tree.files)) files, \(size(Double(tree.bytes)))",
            rows: timedRows(contenders, measurements, targets: targets),
            notes: notes.map { "ssh \(direction)\(how): \($0)" })
    }

    func sshLarge() throws(BenchError) -> [WorkResult] {
        try requireSpace(files: 10_000, bytes: 5e9 * options.scale)
        let tree = try Tree(.large, scale: options.scale, in: directory)
        let ssh = tools(try server())
        let one = tree.path + "-one-file"
        let join = Command(["sh", "-c", "find \"$0\" -type f -exec cat {} + >\"$1\"", tree.path, one])
        guard join.output(log: toolbox.log) != nil else { throw BenchError("cannot make \(one)") }
        var results: [WorkResult] = []
        for direction in Direction.allCases {
            let cipher = SSHToolbox.fastCipher
            let same = ssh.rsync(direction, cipher: cipher)
            let limit = ssh.cat(one, cipher: cipher)
            let contenders = [
                ssh.plantdb(direction), ssh.plantdb(direction, cipher: SSHToolbox.defaultCipher),
                ssh.rsync(direction), same, ssh.tar(direction, cipher: cipher),
                ssh.sftp(direction, cipher: cipher), ssh.rclone(direction),
                direction == .down ? limit : nil,
            ].compactMap { $0 }
            // 0.7 of the rate is 1 / 0.7 of the time.
            var result = try firstSync(
                tree, direction, contenders,
                targets: direction == .down
                    ? [ssh.rsync(direction).name: 0.7, same.name: 0.85, limit.name: 1 / 0.7]
                    : [same.name: 0.95])
            for index in result.rows.indices {
                if result.rows[index].contender == limit.name {
                    result.rows[index].target = "≤ 1.43 (0.7 of its rate)"
                }
            }
            results.append(result)
        }
        try removeTree(one)
        results[0].notes.append(
            "ssh: plantdb as shipped asks for \(SSHToolbox.fastCipher) first, and this server has it; "
                + "the others take \(SSHToolbox.defaultCipher) unless a cipher is named")
        return results
    }

    func sshSmall() throws(BenchError) -> [WorkResult] {
        try requireSpace(files: 60_000 * options.scale, bytes: 4e8 * options.scale)
        let tree = try Tree(.sshSmall, scale: options.scale, in: directory)
        let ssh = tools(try server())
        var results: [WorkResult] = []
        for direction in Direction.allCases {
            let contenders = [
                ssh.plantdb(direction), ssh.rsync(direction),
                ssh.rsync(direction, cipher: SSHToolbox.fastCipher),
                ssh.tar(direction, cipher: SSHToolbox.fastCipher),
                ssh.sftp(direction, cipher: SSHToolbox.fastCipher).slow, ssh.rclone(direction),
            ].compactMap { $0 }
            results.append(
                try firstSync(
                    tree, direction, contenders,
                    targets: [ssh.rsync(direction).name: direction == .down ? 0.6 : 0.9]))
        }
        return results
    }

    func sshUnchanged() throws(BenchError) -> [WorkResult] {
        try requireSpace(files: 60_000 * options.scale, bytes: 4e8 * options.scale)
        let tree = try Tree(.sshSmall, scale: options.scale, in: directory)
        let ssh = tools(try server())
        return try nothingToDo(tree, ssh, "", rclone: true)
    }

    /// All contenders find the same target, a copy by `cp -a`.
    private func nothingToDo(_ tree: Tree, _ ssh: SSHToolbox, _ how: String, rclone: Bool)
        throws(BenchError) -> [WorkResult]
    {
        let target = target(of: tree)
        try copyTree(tree.path, target)
        var results: [WorkResult] = []
        for direction in Direction.allCases {
            let contenders = [
                ssh.plantdb(direction), ssh.rsync(direction), rclone ? ssh.rclone(direction) : nil,
            ].compactMap { $0 }
            let (measurements, notes) = try rounds(
                contenders, prepare: { (_) throws(BenchError) in },
                command: { $0.command(tree.path, target) },
                check: { (_) throws(BenchError) in try difference(from: tree, at: target) })
            results.append(
                WorkResult(
                    title: "ssh \(direction)\(how), second sync of \(count(tree.files)) files, nothing to do",
                    rows: timedRows(
                        contenders, measurements, targets: how.isEmpty ? [ssh.rsync(direction).name: 1] : [:]),
                    notes: notes))
        }
        try removeTree(target)
        return results
    }

    func sshLatency() throws(BenchError) -> [WorkResult] {
        try requireSpace(files: 60_000, bytes: 4e9 * options.scale)
        let large = try Tree(.large, scale: options.scale, in: directory)
        let small = try Tree(.sshSmall, scale: options.scale, in: directory)
        let server = try server()
        let ssh = tools(server, port: try server.port(delayedBy: Self.latencyMilliseconds))
        let how = " with \(Self.latencyMilliseconds) ms each way"
        var results: [WorkResult] = []
        for tree in [large, small] {
            for direction in Direction.allCases {
                let contenders = [
                    ssh.plantdb(direction), ssh.rsync(direction),
                    ssh.tar(direction, cipher: SSHToolbox.fastCipher).slow,
                    tree.kind == .large ? ssh.sftp(direction, cipher: SSHToolbox.fastCipher).slow : nil,
                ].compactMap { $0 }
                results.append(
                    try firstSync(
                        tree, direction, contenders,
                        targets: tree.kind == .large ? [ssh.rsync(direction).name: 0.6] : [:], how))
            }
        }
        return results + (try nothingToDo(small, ssh, how, rclone: false))
    }

    func sshMemory() throws(BenchError) -> [WorkResult] {
        let limit = 60e6
        var result = WorkResult(title: "ssh, peak memory")
        let floor = try Command(["true"]).run(log: toolbox.log).peakMemoryBytes
        result.notes.append(
            "ssh, peak memory: the largest of plantdb's process and its ssh's; \(size(Double(floor))) is the "
                + "least that can be measured")
        let ssh = tools(try server())
        for kind in [Tree.Kind.large, .sshSmall, .small] {
            try requireSpace(files: 250_000 * options.scale, bytes: 4e9 * options.scale)
            let tree = try Tree(kind, scale: options.scale, in: directory)
            let target = target(of: tree)
            for direction in Direction.allCases {
                try removeTree(target)
                for run in ["first sync", "nothing to do"] {
                    let measurement = try ssh.plantdb(direction).command(tree.path, target)
                        .run(log: toolbox.log)
                    let what = "\(run) \(direction), \(count(tree.files)) files, \(size(Double(tree.bytes)))"
                    say("\(what): \(size(Double(measurement.peakMemoryBytes)))")
                    var row = Row(contender: "plantdb sync, \(what)", value: "failed", runs: "1")
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
                    result.notes.append("ssh, peak memory: \(note)")
                }
            }
            try removeTree(target)
        }
        return [result]
    }

    /// What rsync's delta is for, and SFTP has nothing like it.
    func sshAppend() throws(BenchError) -> [WorkResult] {
        try requireSpace(files: 1000, bytes: 3e9 * options.scale + 2e8)
        let old = try Tree(.sshAppend, scale: options.scale, in: directory)
        let grown = old.path + "-grown"
        try copyTree(old.path, grown)
        let append = Command([
            "sh", "-c", "head -c 1000000 /dev/urandom >>\"$(find \"$0\" -name PointCloud.ply)\"", grown,
        ])
        guard append.output(log: toolbox.log) != nil else { throw BenchError("cannot append to \(grown)") }
        let tree = try Tree(.sshAppend, at: grown)
        let target = target(of: old)
        let ssh = tools(try server())
        var results: [WorkResult] = []
        for direction in Direction.allCases {
            let cipher = SSHToolbox.fastCipher
            let contenders = [
                ssh.plantdb(direction), ssh.rsync(direction), ssh.rsync(direction, cipher: cipher),
            ]
            let (measurements, notes) = try rounds(
                contenders, prepare: { (_) throws(BenchError) in try copyTree(old.path, target) },
                command: { $0.command(grown, target) },
                check: { (_) throws(BenchError) in try difference(from: tree, at: target) })
            results.append(
                WorkResult(
                    title: "ssh \(direction), 1 MB appended to a file of \(size(Double(old.bytes) - 6e6))",
                    rows: timedRows(contenders, measurements, targets: [:]), notes: notes))
        }
        results[0].notes.append(
            "ssh, 1 MB appended: SFTP cannot send a part of a file that changed, so plantdb sends all of it, "
                + "where rsync sends the difference (and reads the file on both sides)")
        try removeTree(target)
        try removeTree(grown)
        return results
    }
}

extension Contender {
    /// Takes part in fewer rounds.
    fileprivate var slow: Contender {
        var result = self
        result.isSlow = true
        return result
    }
}

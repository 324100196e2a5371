import Glibc

/// What is measured over HTTP, with both ends on this machine: nothing is encrypted, so that the
/// programs are what is measured.
extension WorkBench {
    private var serverLog: String { directory + "/server.log" }

    // MARK: One large file

    private static let largeScan = "scan_0000"
    private static let largeFile = "PointCloud_1_0_1_0_10_0_7ee836e5a9/PointCloud.ply"

    /// One file of 1 GiB: the rate of everything else is told in parts of this one's.
    func httpFile() throws(BenchError) -> [WorkResult] {
        try requireSpace(files: 1000, bytes: 4.5e9 * options.scale)
        let tree = try Tree(.httpFile, scale: options.scale, in: directory)
        let target = target(of: tree)
        let file = "\(Self.largeScan)/\(Self.largeFile)"
        let server = try OurServer(tree.path, toolbox: toolbox, log: serverLog)
        let downloaded = directory + "/http-downloaded"
        var contenders = [plantdb(.down, server)]
        let own = "\(server.url)/files/\(file)"
        if Command(["curl", "-sfI", own]).output(log: toolbox.log) != nil {
            contenders.append(curl("curl of it, from plantdb serve", own, to: downloaded))
        }
        if Nginx.path == nil { say("SKIPPED: nginx is not installed") }
        let nginx = Nginx.path == nil ? nil : try Nginx(tree.path, in: directory)
        if let nginx {
            contenders.append(curl("curl of it, from nginx", "\(nginx.url)/\(file)", to: downloaded))
        }
        let (measurements, notes) = try rounds(
            contenders,
            prepare: { (_) throws(BenchError) in
                try removeTree(target)
                try removeTree(downloaded)
            },
            command: { $0.command(tree.path, target) },
            check: { (_) throws(BenchError) in
                exists(target) ? try difference(from: tree, at: target) : nil
            })
        var down = WorkResult(
            title: "http down, one file of \(size(Double(tree.bytes)))",
            rows: timedRows(
                contenders, measurements,
                targets: ["curl of it, from plantdb serve": 1 / 0.95]),
            notes: notes)
        addRates(tree.bytes, measurements, to: &down)
        if let ours = median("curl of it, from plantdb serve", measurements),
            let theirs = median("curl of it, from nginx", measurements)
        {
            down.notes.append(
                "http: plantdb serve sends a file to curl at \(fixed(theirs / ours, 2)) of nginx's rate "
                    + "(target ≥ 0.8: \(theirs / ours >= 0.8 ? "met" : "**not met**"))")
        }
        server.stop()
        try removeTree(downloaded)
        try removeTree(target)
        let up = try firstUp(tree, title: "one file of \(size(Double(tree.bytes)))")
        return [down, up.result]
    }

    private func curl(_ name: String, _ url: String, to file: String) -> Contender {
        Contender(name: name) { _, _ in Command(["curl", "-sf", "-o", file, url]) }
    }

    private func median(_ name: String, _ measurements: [String: [Measurement]]) -> Double? {
        Series(values: (measurements[name] ?? []).map(\.seconds)).median
    }

    private func addRates(
        _ bytes: Int64, _ measurements: [String: [Measurement]], to result: inout WorkResult
    ) {
        for index in result.rows.indices {
            guard let time = median(result.rows[index].contender, measurements) else { continue }
            result.rows[index].value += ", \(size(Double(bytes) / time))/s"
        }
    }

    // MARK: Trees

    func httpLarge() throws(BenchError) -> [WorkResult] { try firstSyncs(.large).map(\.result) }

    func httpSmall() throws(BenchError) -> [WorkResult] {
        var results = try firstSyncs(.sshSmall)
        // Targets in files a second, of the median.
        for (index, rate) in [5000.0, 3000].enumerated() where index < results.count {
            guard let time = results[index].subjectSeconds else { continue }
            let files = Double(results[index].files)
            results[index].result.rows[0].value += ", \(count(Int(files / time))) files/s"
            results[index].result.rows[0].target = "≥ \(count(Int(rate))) files/s"
            results[index].result.rows[0].isMet = files / time >= rate
        }
        return results.map(\.result)
    }

    /// A result, and what its targets are computed from.
    private struct Measured {
        var result: WorkResult
        var files: Int
        var subjectSeconds: Double?
    }

    private func firstSyncs(_ kind: Tree.Kind) throws(BenchError) -> [Measured] {
        try requireSpace(files: 60_000, bytes: 4e9 * options.scale)
        let tree = try Tree(kind, scale: options.scale, in: directory)
        let what = "first sync of \(count(tree.files)) files, \(size(Double(tree.bytes)))"
        let target = target(of: tree)
        let server = try OurServer(tree.path, toolbox: toolbox, log: serverLog)
        let nginx = Nginx.path == nil ? nil : try Nginx(tree.path, in: directory)
        let contenders = [plantdb(.down, server), nginx.flatMap { rcloneHTTP($0.url) }].compactMap { $0 }
        let (measurements, notes) = try rounds(
            contenders, prepare: { (_) throws(BenchError) in try removeTree(target) },
            command: { $0.command(tree.path, target) },
            check: { (_) throws(BenchError) in try difference(from: tree, at: target) })
        var down = WorkResult(
            title: "http down, \(what)",
            rows: timedRows(contenders, measurements, targets: ["rclone sync, http from nginx": 1]),
            notes: notes)
        if kind == .large { addRates(tree.bytes, measurements, to: &down) }
        server.stop()
        try removeTree(target)
        return [
            Measured(
                result: down, files: tree.files, subjectSeconds: median(contenders[0].name, measurements)),
            try firstUp(tree, title: what),
        ]
    }

    /// Every round begins with a server that has just started, on a database without files.
    private func firstUp(_ tree: Tree, title: String) throws(BenchError) -> Measured {
        let target = target(of: tree)
        let holder = ServerHolder()
        let port = try Loopback.freePort()
        let url = "http://127.0.0.1:\(port)"
        let ours = Contender(name: "plantdb sync", isSubject: true) { source, _ in
            toolbox.ours("sync", source, url)
        }
        let davPort = try Loopback.freePort()
        let isOneFile = tree.kind == .httpFile
        let curl = isOneFile ? curlUp(to: url) : nil
        let rclone = isOneFile ? nil : rcloneWebDAV("http://127.0.0.1:\(davPort)")
        let contenders = [ours, curl, rclone].compactMap { $0 }
        let (measurements, notes) = try rounds(
            contenders,
            prepare: { (contender) throws(BenchError) in
                holder.stop()
                try removeTree(target)
                if contender.name == rclone?.name {
                    try makeDirectories(target)
                    try holder.start(
                        [
                            toolbox.path(of: "rclone") ?? "rclone", "--config", "/dev/null", "serve",
                            "webdav", target, "--addr", "127.0.0.1:\(davPort)",
                        ], davPort, serverLog)
                } else {
                    try Bench.writeMarker(of: target)
                    // A file is taken for a scan that is there.
                    if !contender.isSubject {
                        try makeDirectories("\(target)/\(Self.largeScan)/metadata")
                        try write(
                            #"{"filesets": []}"#, to: "\(target)/\(Self.largeScan)/files.json")
                    }
                    try holder.start(
                        [toolbox.plantdb, "serve", target, "--port", "\(port)", "--open"], port, serverLog)
                }
            },
            command: { $0.command(tree.path, target) },
            check: { (contender) throws(BenchError) in
                guard contender.name == curl?.name else { return try difference(from: tree, at: target) }
                let same = Command([
                    "cmp", "\(tree.path)/\(Self.largeScan)/\(Self.largeFile)",
                    "\(target)/\(Self.largeScan)/\(Self.largeFile)",
                ])
                return same.output(log: toolbox.log) == nil ? "the file did not arrive" : nil
            })
        holder.stop()
        try removeTree(target)
        var result = WorkResult(
            title: "http up, \(title)",
            rows: timedRows(
                contenders, measurements,
                targets: [
                    "rclone sync, webdav to rclone serve": 1, "curl of it, to plantdb serve": 1 / 0.9,
                ]),
            notes: notes)
        if tree.kind != .sshSmall { addRates(tree.bytes, measurements, to: &result) }
        return Measured(
            result: result, files: tree.files, subjectSeconds: median(ours.name, measurements))
    }

    /// Sends the large file as clients of 0.14 do, without any check on the way.
    private func curlUp(to url: String) -> Contender {
        Contender(name: "curl of it, to plantdb serve") { source, _ in
            Command([
                "curl", "-sf", "-X", "POST", "-H", "X-File-Path: \(Self.largeFile)", "-H", "Expect:", "-T",
                "\(source)/\(Self.largeScan)/\(Self.largeFile)", "\(url)/files/\(Self.largeScan)",
            ])
        }
    }

    func httpUnchanged() throws(BenchError) -> [WorkResult] {
        try requireSpace(files: 60_000, bytes: 4e8 * options.scale)
        let tree = try Tree(.sshSmall, scale: options.scale, in: directory)
        let target = target(of: tree)
        try copyTree(tree.path, target)
        var results: [WorkResult] = []
        for direction in Direction.allCases {
            let server = try OurServer(
                direction == .down ? tree.path : target, toolbox: toolbox, log: serverLog)
            let contenders = [plantdb(direction, server)]
            let (measurements, notes) = try rounds(
                contenders, prepare: { (_) throws(BenchError) in },
                command: { $0.command(tree.path, target) },
                check: { (_) throws(BenchError) in try difference(from: tree, at: target) })
            server.stop()
            var rows = timedRows(contenders, measurements, targets: [:])
            rows[0].target = "≤ 1 s"
            rows[0].isMet = (median(contenders[0].name, measurements) ?? .infinity) <= 1
            results.append(
                WorkResult(
                    title: "http \(direction), second sync of \(count(tree.files)) files, nothing to do",
                    rows: rows, notes: notes))
        }
        try removeTree(target)
        return results
    }

    // MARK: Upstream's server

    /// A scan of 500 MB, which upstream's server packs into an archive before it sends its first byte.
    func httpArchive() throws(BenchError) -> [WorkResult] {
        try requireSpace(files: 1000, bytes: 2.5e9 * options.scale)
        let environment = directory + "/upstream-server"
        guard UpstreamServer.install(in: environment, toolbox: toolbox) else { return [] }
        let tree = try Tree(.sshAppend, scale: options.scale, in: directory)
        let target = target(of: tree)
        let archive = directory + "/archive.zip"
        let database = directory + "/upstream-database"
        try copyTree(tree.path, database)
        let holder = UpstreamHolder()
        let curl = "curl of its archive"
        let report = directory + "/archive-report.json"
        /// Of the scan, without listing and comparing, which `curl` has not to do.
        var transfers: [Double] = []
        let contenders = [
            Contender(name: "plantdb sync", isSubject: true) { _, target in
                toolbox.ours("sync", "--report", report, holder.server?.url ?? "", target)
            },
            Contender(name: curl) { _, _ in
                Command([
                    "curl", "-sf", "-o", archive, "\(holder.server?.url ?? "")/archive/\(Self.largeScan)",
                ])
            },
        ]
        let (measurements, notes) = try rounds(
            contenders,
            prepare: { (_) throws(BenchError) in
                // What the run before has left: ours, where it is curl's turn.
                if exists(report) { transfers.append(try scanSeconds(of: report)) }
                for leftover in [report, target] { try removeTree(leftover) }
                holder.server?.stop()
                holder.server = try UpstreamServer(database, installedIn: environment, log: serverLog)
            },
            command: { $0.command(tree.path, target) },
            check: { (contender) throws(BenchError) in
                guard contender.isSubject else { return exists(archive) ? nil : "no archive came" }
                return try difference(from: tree, at: target)
            })
        holder.server?.stop()
        for leftover in [target, database, archive, report] { try removeTree(leftover) }
        var rows = timedRows(contenders, measurements, targets: [:])
        // The first is the warm-up's.
        let series = Series(values: Array(transfers.dropFirst()))
        if let ours = series.median,
            let theirs = Series(values: (measurements[curl] ?? []).map(\.seconds)).median
        {
            rows.append(
                Row(
                    contender: "plantdb sync, the transfer alone, against it", value: series.text(seconds),
                    runs: "\(series.values.count)", ratio: ours / theirs, target: "≤ 1.11 (0.9 of its rate)",
                    isMet: ours / theirs <= 1 / 0.9))
        }
        return [
            WorkResult(
                title: "http down, a scan of \(size(Double(tree.bytes))) from PlantDB "
                    + "\(Toolbox.upstreamVersion)'s server",
                rows: rows, notes: notes)
        ]
    }

    /// How long the only scan of a run took, without listing and comparing.
    private func scanSeconds(of report: String) throws(BenchError) -> Double {
        let program = "import json, sys; print(json.load(open(sys.argv[1]))['perScan'][0]['seconds'])"
        let text = Command(["python3", "-c", program, report]).output(log: toolbox.log) ?? ""
        guard let took = Double(text.prefix { !$0.isWhitespace }) else {
            throw BenchError("\(report) does not say how long the scan took")
        }
        return took
    }

    // MARK: Memory

    /// The client's, and that of a server with four clients at once.
    func httpMemory() throws(BenchError) -> [WorkResult] {
        var result = WorkResult(title: "http, peak memory")
        for kind in [Tree.Kind.large, .sshSmall] {
            try requireSpace(files: 120_000, bytes: 6.5e9 * options.scale)
            let tree = try Tree(kind, scale: options.scale, in: directory)
            let what = "\(count(tree.files)) files, \(size(Double(tree.bytes)))"
            let targets = (0..<4).map { self.target(of: tree) + "-\($0)" }
            for target in targets { try removeTree(target) }
            let server = try OurServer(tree.path, toolbox: toolbox, log: serverLog)
            let single = try plantdb(.down, server).command(tree.path, targets[0]).run(log: toolbox.log)
            try removeTree(targets[0])
            let words = targets.map { "'\(toolbox.plantdb)' sync -q '\(server.url)' '\($0)' & p=\"$p $!\"" }
            let script = words.joined(separator: "\n") + "\nfor c in $p; do wait $c || exit 1; done"
            let all = try Command(["sh", "-c", script], environment: toolbox.ownPlaces)
                .run(log: toolbox.log)
            let problem = try difference(from: tree, at: targets[3])
            let isWhole = all.exitCode == 0 && problem == nil
            for (name, bytes, limit, isGood) in [
                ("client, \(what)", single.peakMemoryBytes, 80e6, single.exitCode == 0),
                ("plantdb serve with 4 clients, \(what)", server.peakMemoryBytes ?? 0, 150e6, isWhole),
            ] {
                result.rows.append(
                    Row(
                        contender: name, value: isGood ? size(Double(bytes)) : "failed", runs: "1",
                        target: "≤ \(size(limit))", isMet: isGood && bytes > 0 && Double(bytes) <= limit))
            }
            server.stop()
            for target in targets { try removeTree(target) }
        }
        return [result]
    }

    // MARK: Contenders

    private func plantdb(_ direction: Direction, _ server: OurServer) -> Contender {
        Contender(name: "plantdb sync", isSubject: true) { source, target in
            direction == .down
                ? toolbox.ours("sync", server.url, target) : toolbox.ours("sync", source, server.url)
        }
    }

    private func rcloneHTTP(_ url: String) -> Contender? {
        guard toolbox.isInstalled("rclone") else {
            say("SKIPPED: rclone is not installed")
            return nil
        }
        return Contender(name: "rclone sync, http from nginx", isSlow: true) { _, target in
            Command(
                ["rclone", "sync", ":http:", target],
                environment: ["RCLONE_CONFIG": "/dev/null", "RCLONE_HTTP_URL": url + "/"])
        }
    }

    private func rcloneWebDAV(_ url: String) -> Contender? {
        guard toolbox.isInstalled("rclone") else { return nil }
        return Contender(name: "rclone sync, webdav to rclone serve", isSlow: true) { source, _ in
            Command(
                ["rclone", "sync", source, ":webdav:"],
                environment: [
                    "RCLONE_CONFIG": "/dev/null", "RCLONE_WEBDAV_URL": url,
                    "RCLONE_WEBDAV_VENDOR": "other",
                ])
        }
    }
}

/// The server of the contender whose turn it is.
private final class ServerHolder {
    private var process: BackgroundProcess?

    func start(_ words: [String], _ port: UInt16, _ log: String) throws(BenchError) {
        let process = try BackgroundProcess(words, log: log)
        try process.waitForPort(port)
        self.process = process
    }

    func stop() {
        process?.stop()
        process = nil
    }
}

/// The one that runs now.
private final class UpstreamHolder {
    var server: UpstreamServer?
}

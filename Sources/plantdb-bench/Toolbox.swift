import Glibc

/// The commands that are compared, and where they keep what they need.
struct Toolbox {
    static let upstreamVersion = "0.14.5"

    /// Absolute path of the command under test.
    let plantdb: String
    /// Instead of the user's cache, so that a run starts from nothing and leaves nothing.
    let cache: String
    /// What the last command printed.
    let log: String
    private let environmentDirectory: String
    /// The interpreter that has upstream's packages; nil: not to be had here.
    private(set) var upstreamPython: String?

    init(directory: String, plantdb: String) throws(BenchError) {
        guard access(plantdb, X_OK) == 0 else {
            throw BenchError("there is no command \(plantdb); `make release` builds it")
        }
        self.plantdb = try absolutePath(plantdb)
        cache = directory + "/cache"
        log = directory + "/last.log"
        environmentDirectory = directory + "/venv"
    }

    /// Installs upstream's packages into a virtual environment, unless they are there.
    mutating func installUpstream() {
        let python = environmentDirectory + "/bin/python"
        let ready = environmentDirectory + "/upstream-\(Self.upstreamVersion).complete"
        if !exists(ready) {
            say("installing upstream PlantDB \(Self.upstreamVersion) into \(environmentDirectory)")
            let packages = ["plantdb.commons", "plantdb.client"].map { "\($0)==\(Self.upstreamVersion)" }
            for words in [
                ["python3", "-m", "venv", environmentDirectory],
                [python, "-m", "pip", "install", "--quiet"] + packages,
                [python, "-c", "from plantdb.client.sync import FSDBSync"],
                ["touch", ready],
            ] where Command(words).output(log: log) == nil {
                say("SKIPPED: upstream PlantDB cannot be installed (\(words.joined(separator: " ")) failed:")
                say(lastLines() + ")")
                return
            }
        }
        upstreamPython = python
    }

    /// The end of what the last command printed.
    func lastLines() -> String {
        do {
            return try readText(log).split(separator: "\n").suffix(5).joined(separator: "\n")
        } catch {
            return "\(error)"
        }
    }

    func isInstalled(_ command: String) -> Bool {
        Command(["sh", "-c", "command -v \"$0\"", command]).output(log: log) != nil
    }

    /// Absolute; nil: it is not installed.
    func path(of command: String) -> String? { version("sh", "-c", "command -v \"$0\"", command) }

    /// The first line of what `words` prints; nil if it is not installed.
    func version(_ words: String...) -> String? {
        guard isInstalled(words[0]), let output = Command(words).output(log: log) else { return nil }
        return output.split(separator: "\n").first.map(String.init)
    }

    /// Neither the user's cache nor the user's history.
    var ownPlaces: [String: String] { ["XDG_CACHE_HOME": cache, "XDG_STATE_HOME": cache] }

    func ours(_ words: String...) -> Command {
        Command([plantdb] + words, environment: ownPlaces)
    }
}

/// One way to make a target hold what a source holds.
struct Contender {
    let name: String
    /// Takes part in fewer rounds: nobody's target names it, and it takes minutes.
    var isSlow = false
    /// The one that the ratios are of.
    var isSubject = false
    /// Wants a target that is a database already.
    var needsDatabase = false
    let command: (_ source: String, _ target: String) -> Command
}

extension Toolbox {
    var plantdbSync: Contender {
        Contender(name: "plantdb sync", isSubject: true) { ours("sync", $0, $1) }
    }

    var plantdbSyncDurable: Contender {
        Contender(name: "plantdb sync --fsync always") { ours("sync", "--fsync", "always", $0, $1) }
    }

    var copy: Contender { Contender(name: "cp -a") { Command(["cp", "-a", $0, $1]) } }

    var rsync: Contender { Contender(name: "rsync -a") { Command(["rsync", "-a", $0 + "/", $1 + "/"]) } }

    /// As its users run it; an empty configuration keeps it from looking for one.
    func rclone(isSlow: Bool) -> Contender? {
        guard isInstalled("rclone") else {
            say("SKIPPED: rclone is not installed")
            return nil
        }
        return Contender(name: "rclone sync", isSlow: isSlow) {
            Command(["rclone", "sync", $0, $1], environment: ["RCLONE_CONFIG": "/dev/null"])
        }
    }

    func upstream(isSlow: Bool) -> Contender? {
        guard let upstreamPython else { return nil }
        let program = """
            import sys
            from plantdb.client.sync import FSDBSync
            FSDBSync(sys.argv[1], sys.argv[2]).sync()
            """
        let name = "PlantDB \(Self.upstreamVersion) FSDBSync"
        return Contender(name: name, isSlow: isSlow, needsDatabase: true) {
            Command([upstreamPython, "-c", program, $0, $1])
        }
    }
}

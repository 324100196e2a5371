import Glibc

/// `plantdb serve` on a free port of the loopback interface, open to whoever reaches it, for as
/// long as the value lives.
final class OurServer {
    let url: String
    private let process: BackgroundProcess

    init(_ database: String, toolbox: Toolbox, log: String) throws(BenchError) {
        let port = try Loopback.freePort()
        url = "http://127.0.0.1:\(port)"
        process = try BackgroundProcess(
            [toolbox.plantdb, "serve", database, "--port", "\(port)", "--open"], log: log)
        try process.waitForPort(port)
    }

    func stop() { process.stop() }

    /// Of its resident memory, in bytes; nil: it has ended.
    var peakMemoryBytes: Int64? { process.peakMemoryBytes }
}

/// nginx, which sends files from a folder by sendfile(2): the limit.
final class Nginx {
    let url: String
    private let process: BackgroundProcess

    static let path = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].first(where: exists)

    init(_ folder: String, in directory: String) throws(BenchError) {
        guard let program = Self.path else { throw BenchError("there is no nginx") }
        let port = try Loopback.freePort()
        url = "http://127.0.0.1:\(port)"
        let own = directory + "/nginx"
        try makeDirectories(own)
        let lines = [
            "daemon off; worker_processes 2; pid \(own)/pid; error_log \(own)/log;",
            // As the user who runs it, so that it may read what that user may.
            geteuid() == 0 ? "user root;" : "",
            "events { worker_connections 512; }",
            "http { sendfile on; tcp_nopush on; access_log off; client_body_temp_path \(own)/body;",
            "proxy_temp_path \(own)/proxy; fastcgi_temp_path \(own)/fastcgi; uwsgi_temp_path \(own)/uwsgi;",
            "scgi_temp_path \(own)/scgi; default_type application/octet-stream;",
            "server { listen 127.0.0.1:\(port); root \"\(folder)\"; autoindex on; } }",
        ]
        try write(lines.joined(separator: "\n") + "\n", to: own + "/nginx.conf")
        process = try BackgroundProcess(
            [program, "-p", own, "-c", own + "/nginx.conf"], log: own + "/output")
        try process.waitForPort(port)
    }

    /// Configuration and logs of the last server.
    static func removeFolder(in directory: String) throws(BenchError) {
        try removeTree(directory + "/nginx")
    }
}

/// The server of an upstream release, on a free port of the loopback interface. Its limit of requests begins
/// anew with each.
final class UpstreamServer {
    let url: String
    private let process: BackgroundProcess

    init(_ database: String, installedIn environment: String, log: String) throws(BenchError) {
        let port = try Loopback.freePort()
        url = "http://127.0.0.1:\(port)"
        process = try BackgroundProcess(
            [
                "/usr/bin/env", "PYTHONPATH=\(environment)/stubs", environment + "/bin/python", "-c",
                "from plantdb.server.cli.fsdb_rest_api import main; main()", "-db", database, "--host",
                "127.0.0.1", "--port", "\(port)",
            ], log: log)
        try process.waitForPort(port)
    }

    func stop() { process.stop() }

    /// Installs it, unless it is there.
    ///
    /// - Returns: whether it is.
    static func install(in environment: String, toolbox: Toolbox) -> Bool {
        let ready = environment + "/complete"
        if exists(ready) { return true }
        let version = Toolbox.upstreamVersion
        say("installing the server of PlantDB \(version) into \(environment)")
        let pip = [environment + "/bin/python", "-m", "pip", "install", "--quiet"]
        for words in [
            ["python3", "-m", "venv", environment],
            // What it imports when it starts; open3d, which is large, by name only.
            pip + [
                "flask", "flask-cors", "flask-restful", "requests", "toml", "colorlog", "tqdm", "pillow",
                "bcrypt", "numpy",
            ],
            pip + ["--no-deps"] + ["commons", "server"].map { "plantdb.\($0)==\(version)" },
            ["mkdir", "-p", environment + "/stubs"], ["touch", environment + "/stubs/open3d.py"],
            ["touch", ready],
        ] where Command(words).output(log: toolbox.log) == nil {
            say("SKIPPED: it cannot be installed (\(words.joined(separator: " ")) failed:")
            say(toolbox.lastLines() + ")")
            return false
        }
        return true
    }
}

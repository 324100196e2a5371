import ArgumentParser
import Logging
import PlantDBCore
import PlantDBServer
import PlantDBSync

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve a database over HTTP to plantdb on other machines.",
        discussion: """
            Other machines sync with it as http://HOST:PORT, or https:// with a certificate; PlantDB's \
            own Python clients list, download, upload and log in. On this machine everybody may read; \
            writing needs the token that is printed at the start, or an account of the database's \
            users.json that may write. From beyond this machine reading needs one too, and TLS is wanted. \
            Ends with SIGINT or SIGTERM.

            EXAMPLES
              plantdb serve /data/greenhouse
              plantdb serve --host 0.0.0.0 --tls-certificate cert.pem --tls-key key.pem \\
                  --token-file /etc/plantdb/token /data/greenhouse
            """
    )

    @Argument(help: "The database.", completion: .directory)
    var database: String

    @Option(help: ArgumentHelp("The address to listen on.", valueName: "address"))
    var host = "127.0.0.1"

    @Option(help: ArgumentHelp("The port; 0 takes one that is free.", valueName: "number"))
    var port = 5000

    @Option(help: ArgumentHelp("What stands before every path, such as /plantdb.", valueName: "path"))
    var prefix = ""

    @Option(
        help: ArgumentHelp(
            "The first line of this file is the token, instead of a new one; - for standard input.",
            valueName: "file"))
    var tokenFile: String?

    @Option(
        name: .customLong("upload-limit"),
        help: ArgumentHelp("Take no larger archive or file: 500M, 10G. (default: 64Gi)", valueName: "size"),
        transform: Transforms.size)
    var uploadLimit: Int64?

    @Flag(help: "Write a line for every request to standard error.")
    var log = false

    @Flag(help: "Whoever reaches the server may write.")
    var open = false

    @Flag(help: "Whoever reads needs the token or an account, on this machine too: behind a proxy.")
    var closed = false

    @Flag(help: "Be open, or unencrypted, on an address that other machines reach.")
    var acceptNetworkRisk = false

    @Option(help: ArgumentHelp("The certificate and its chain (PEM), for https.", valueName: "file"))
    var tlsCertificate: String?

    @Option(help: ArgumentHelp("The certificate's private key (PEM).", valueName: "file"))
    var tlsKey: String?

    mutating func validate() throws {
        guard (0...65535).contains(port) else { throw ValidationError("a port is 0 to 65535") }
    }

    func run() async throws {
        var configuration = ServerConfiguration()
        if let tokenFile {
            configuration.token = try ServerToken(
                try SecretFile.firstLine(of: tokenFile, "token"))
        }
        configuration.host = host
        configuration.port = port
        configuration.prefix = prefix
        configuration.isOpen = open
        configuration.isClosed = closed
        configuration.acceptsRisk = acceptNetworkRisk
        configuration.certificate = tlsCertificate
        configuration.privateKey = tlsKey
        configuration.version = Version.text
        if let uploadLimit { configuration.maximumUploadBytes = uploadLimit }
        let console = Console()
        Running.shared.console = console
        Running.shared.atStop = "; requests at work have a moment to end"
        let place = try DatabaseOpener().place(of: database)
        if !place.location.contains("://") {
            configuration.accounts = place.location + "/" + DatabaseLayout.accounts
        }
        let settings = configuration
        try await withDatabase(database, DatabaseOpener()) { endpoint in
            var logger = Logger(
                label: "plantdb.serve", factory: { StreamLogHandler.standardError(label: $0) })
            logger.logLevel = log ? .info : .warning
            let server = try PlantDBServer(endpoint, configuration: settings, logger: logger)
            try await withTaskCancellationHandler {
                // A task of its own: it is stopped gracefully, not cancelled.
                try await Task {
                    try await server.run { port in announce(settings, port: port, on: console) }
                }.value
            } onCancel: {
                Task { await server.stop() }
            }
        }
    }

    private func announce(_ configuration: ServerConfiguration, port: Int, on console: Console) {
        let scheme = configuration.certificate == nil ? "http" : "https"
        let host = configuration.host.contains(":") ? "[\(configuration.host)]" : configuration.host
        console.data("serving \(database.printable) on \(scheme)://\(host):\(port)\(configuration.prefix)")
        if configuration.isOpen {
            console.note("everybody who reaches it may write")
        } else if tokenFile == nil {
            console.data("token: \(configuration.token.text)")
        }
        console.flush()
    }
}

import PlantDBClient
import PlantDBSync

/// To a REST server, in the background. usage: LocalToServer SOURCE URL
@main struct LocalToServer {
    static func main() async throws {
        let (source, url) = (CommandLine.arguments[1], CommandLine.arguments[2])
        // example:begin
        let sync = FSDBSync(.location(source), .location(url))
        try sync.syncInBackground()
        while sync.isSynchronizing {
            print("\(Int(sync.syncProgress)) %")
            try await Task.sleep(for: .milliseconds(200))
        }
        if let error = sync.syncError { throw error }
        print("\(Int(sync.syncProgress)) %")
        let server = try await PlantDBRestClient(HTTPAccess(ServerAddress(url)))
        try await server.refresh()
        print(try await server.listScanNames())
        await server.close()
        // example:end
    }
}

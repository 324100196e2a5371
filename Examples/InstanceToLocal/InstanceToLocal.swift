import FSDB
import PlantDBSync

/// A database that this program has open. usage: InstanceToLocal SOURCE TARGET
@main struct InstanceToLocal {
    static func main() async throws {
        let (source, target) = (CommandLine.arguments[1], CommandLine.arguments[2])
        // example:begin
        let database = try FSDB(source)
        try database.connect()
        let sync = FSDBSync(.database(database), .location(target))
        try await sync.sync(sourceScans: [try database.listScans()[0]])
        print("copied \(try FSDB(target).path), and \(database.path) is still connected")
        database.disconnect()
        // example:end
    }
}

import PlantDBSync

/// Two folders of this machine. usage: LocalToLocal SOURCE TARGET
@main struct LocalToLocal {
    static func main() async throws {
        let (source, target) = (CommandLine.arguments[1], CommandLine.arguments[2])
        // example:begin
        let sync = FSDBSync(.location(source), .location(target))
        let report = try await sync.sync()
        print("\(report.scansPublished) scans, \(report.totals.filesMoved) files")
        // example:end
    }
}

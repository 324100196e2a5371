import ArgumentParser
import FSDB
import PlantDBCore
import TestDatabases

struct TestDBCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "testdb",
        abstract: "Make a database with the documented test datasets.",
        discussion: """
            Without network: look-alikes of the five ROMI datasets are generated, with the right \
            folders, names, counts and sizes. A folder named by the variable PLANTDB_DATASETS is \
            used where it holds the dataset. --download fetches the genuine archives (Zenodo record \
            10379172) and keeps them in the user's cache.

            EXAMPLES
              plantdb testdb /tmp/try                        real_plant_analyzed
              plantdb testdb /tmp/try all                    all five
              plantdb testdb /tmp/try none                   an empty database
              plantdb testdb /tmp/try real_plant --download  the genuine one
            """
    )

    @Argument(help: "The folder; made where it does not exist.", completion: .directory)
    var path: String

    @Argument(
        help: ArgumentHelp(
            "A dataset (\(TestDataset.all.map(\.rawValue).joined(separator: ", "))), all or none.",
            valueName: "name|all|none"),
        completion: .list(TestDataset.all.map(\.rawValue) + ["all", "none"]))
    var name = TestDataset.realPlantAnalyzed.rawValue

    @Option(help: ArgumentHelp("The same seed makes the same bytes.", valueName: "n"))
    var seed = TestDatabaseOptions.defaultSeed

    @Flag(help: "Fetch the genuine datasets.")
    var download = false

    mutating func validate() throws {
        if path.isEmpty { throw ValidationError("a path must not be empty") }
        try InitCommand.refuseOtherMachine(path)
        if datasets == nil {
            throw ValidationError(
                "“\(name.printable)” is no dataset: \(TestDataset.all.map(\.rawValue).joined(separator: ", ")), "
                    + "all or none")
        }
    }

    /// nil for a name that is none.
    private var datasets: [TestDataset]? {
        switch name {
        case "all": TestDataset.all
        case "none": []
        default: TestDataset(rawValue: name).map { [$0] }
        }
    }

    func run() async throws {
        let console = Console(progress: Terminal.isStandardError ? .bar : .none)
        Running.shared.console = console
        var options = TestDatabaseOptions(seed: seed)
        if download { options.source = .zenodo }
        let origins = try await TestDatabase.populate(
            root: path, datasets: datasets ?? [], options: options
        ) { progress in
            if let line = TestDatabaseText.line(of: progress) { console.show(line) }
        }
        for origin in origins { console.data(TestDatabaseText.line(of: origin)) }
        console.data("\(path.printable) is a database with \(Sizes.count(origins.count, "dataset"))")
        console.flush()
    }
}

/// What `plantdb testdb` says.
enum TestDatabaseText {
    /// nil for what the end says anyway.
    static func line(of progress: TestDatabaseProgress) -> String? {
        switch progress {
        case .writing(let dataset, let files, let total):
            "\(dataset.rawValue): \(Sizes.grouped(files)) of \(Sizes.count(total, "file"))"
        case .downloading(let dataset, let bytes, let total):
            "\(dataset.rawValue): \(Sizes.bytes(bytes))\(total.map { " of \(Sizes.bytes($0))" } ?? "") received"
        case .done: nil
        }
    }

    static func line(of origin: TestDatasetOrigin) -> String {
        let kind =
            switch origin.kind {
            case .generated(let seed): "generated with seed \(seed)"
            case .copied(let folder): "copied from \(folder.printable)"
            case .downloaded(let address): "downloaded from \(address.printable)"
            }
        return
            "\(origin.dataset.rawValue)  \(Sizes.count(origin.files, "file"))  \(Sizes.bytes(origin.bytes))  \(kind)"
    }
}

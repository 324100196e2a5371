import Glibc
import PlantDBCore

/// Databases to try things on: the five documented ROMI datasets, or look-alikes of them.
public enum TestDatabase {
    /// Puts datasets into the database at `root`, one scan each.
    ///
    /// A folder that does not exist, or is empty, becomes a database (an empty `romidb`
    /// marks it). Every scan appears by one rename, whole or not at all, also if the process
    /// is killed; what an earlier, killed run left in staging is removed.
    ///
    /// - Returns: where each dataset came from, in the order of `datasets`.
    /// - Throws: `notADatabase` for a folder with content and without the marker;
    ///   `alreadyExists`, before anything is written, if there is a scan of one of the names;
    ///   `unreachable`, `verificationFailed` and `invalidData` for a download;
    ///   `cancelled`; and the file system's errors. Datasets before the failing one stay.
    @discardableResult
    public static func populate(
        root: String, datasets: [TestDataset], options: TestDatabaseOptions = TestDatabaseOptions(),
        progress: @escaping @Sendable (TestDatabaseProgress) -> Void = { _ in }
    ) async throws(DatabaseError) -> [TestDatasetOrigin] {
        var seen: Set<TestDataset> = []
        let datasets = datasets.filter { seen.insert($0).inserted }
        try prepare(root)
        for dataset in datasets { try StagedScan.checkAbsence(of: dataset.scan, in: root) }
        var origins: [TestDatasetOrigin] = []
        for dataset in datasets {
            try DatabaseError.checkCancellation(while: "making the dataset \(dataset.rawValue)")
            let origin = try await add(dataset, to: root, options, progress)
            progress(.done(origin))
            origins.append(origin)
        }
        return origins
    }

    /// The datasets that a name on the command line means: nil none, `all` the five, else one.
    ///
    /// - Throws: `invalidArgument` for any other name.
    public static func datasets(named name: String?) throws(DatabaseError) -> [TestDataset] {
        guard let name else { return [] }
        if name == "all" { return TestDataset.all }
        guard let dataset = TestDataset(rawValue: name) else {
            throw DatabaseError(
                .invalidArgument,
                "there is no dataset “\(name.printable)”; name one of "
                    + TestDataset.all.map(\.rawValue).joined(separator: ", ") + ", or all")
        }
        return [dataset]
    }

    private static func add(
        _ dataset: TestDataset, to root: String, _ options: TestDatabaseOptions,
        _ progress: @escaping @Sendable (TestDatabaseProgress) -> Void
    ) async throws(DatabaseError) -> TestDatasetOrigin {
        switch options.source {
        case .automatic:
            if let folder = options.datasetsFolder, let copy = try FolderCopy(of: dataset, in: folder) {
                return try await copy.run(inDatabase: root, progress: progress)
            }
            return try await ScanGeneration(dataset: dataset, options: options)
                .run(inDatabase: root, progress: progress)
        case .generate:
            return try await ScanGeneration(dataset: dataset, options: options)
                .run(inDatabase: root, progress: progress)
        case .download(let baseURL):
            let archive = DatasetArchive(
                dataset, md5: options.checksums[dataset] ?? DatasetArchive(dataset).md5)
            let file = try await ArchiveDownload(
                archive: archive, baseURL: baseURL, folder: options.cacheFolder
            )
            .run(progress: progress)
            return try await ArchiveExtraction(archive: archive, file: file, limits: options.archiveLimits)
                .run(inDatabase: root, from: archive.url(under: baseURL))
        }
    }

    /// Makes `root` a database if there is nothing yet.
    private static func prepare(_ root: String) throws(DatabaseError) {
        let marker = root + "/romidb"
        guard let status = try FileSystem.statusFollowing(root) else {
            try FileSystem.makeDirectories(root)
            return try createMarker(marker)
        }
        guard status.isDirectory else {
            throw DatabaseError(.notADatabase, "\(root.printable) is a file; name a folder")
        }
        if let status = try FileSystem.status(marker) {
            if status.isRegularFile { return }
            throw DatabaseError(.notADatabase, "\(marker.printable) should be a file, and is none")
        }
        guard try FileSystem.names(in: root).isEmpty else {
            throw DatabaseError(
                .notADatabase,
                "\(root.printable) is not empty, and no database: it has no file “romidb”; "
                    + "name an empty or a new folder")
        }
        try createMarker(marker)
    }

    private static func createMarker(_ path: String) throws(DatabaseError) {
        try OpenFile(path, O_WRONLY | O_CREAT, action: "create \(path)").close(action: "create \(path)")
    }
}

import Glibc
import NIOPosix
import PlantDBCore

/// Copies a genuine dataset from a folder that holds it as a scan: every file byte for byte
/// with its time, but for `webcache`. Links and special files in it are refused.
struct FolderCopy: Sendable {
    let dataset: TestDataset
    /// The scan's folder.
    let folder: String

    /// nil if `datasets` does not hold the dataset as a scan, with index and metadata.
    ///
    /// - Throws: `notFound` if there is no such folder at all.
    init?(of dataset: TestDataset, in datasets: String) throws(DatabaseError) {
        guard let status = try FileSystem.statusFollowing(datasets), status.isDirectory else {
            throw DatabaseError(
                .notFound,
                "there is no folder \(datasets.printable) with datasets; correct or unset PLANTDB_DATASETS")
        }
        self.dataset = dataset
        folder = datasets + "/" + dataset.rawValue
        guard let index = try FileSystem.statusFollowing(folder + "/files.json"), index.isRegularFile,
            let metadata = try FileSystem.statusFollowing(folder + "/metadata"), metadata.isDirectory
        else { return nil }
    }

    func run(
        inDatabase root: String, progress: @Sendable (TestDatabaseProgress) -> Void
    ) async throws(DatabaseError) -> TestDatasetOrigin {
        let staged = try StagedScan(dataset.scan, inDatabase: root)
        var origin = TestDatasetOrigin(dataset: dataset, kind: .copied(from: folder), files: 0, bytes: 0)
        do {
            let paths = try await NIOThreadPool.singleton.runIfActive {
                var paths: [String] = []
                try list("", into: &paths)
                try staged.makeFolders(for: paths)
                return paths
            }
            for path in paths {
                try Task.checkCancellation()
                let copy = self
                origin.bytes += try await NIOThreadPool.singleton.runIfActive {
                    try copy.copy(path, to: staged)
                }
                origin.files += 1
                progress(.writing(dataset, files: origin.files, of: paths.count))
            }
            try staged.publish()
            return origin
        } catch {
            // What cannot be removed now is removed by the next run; the first error tells more.
            do { try staged.discard() } catch {}
            throw DatabaseError.wrapping(error, while: "copying \(dataset.rawValue)")
        }
    }

    private func list(_ prefix: String, into paths: inout [String]) throws(DatabaseError) {
        for name in try FileSystem.names(in: folder + "/" + prefix) where name != ScanPath.webcacheName {
            let path = prefix + name
            _ = try ScanPath(path)
            guard let status = try FileSystem.status(folder + "/" + path) else { continue }
            if status.isDirectory {
                try list(path + "/", into: &paths)
            } else if status.isRegularFile {
                paths.append(path)
            } else {
                throw DatabaseError(
                    .invalidData,
                    "\(path.printable) in \(folder.printable) is neither file nor folder, and is not copied",
                    scan: dataset.scan, path: path.printable)
            }
        }
    }

    private func copy(_ path: String, to staged: StagedScan) throws(DatabaseError) -> Int64 {
        let action = "read \(folder)/\(path)"
        let file = try OpenFile(folder + "/" + path, O_RDONLY | O_NOFOLLOW, action: action)
        let status = try file.status(action: action)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        defer { buffer.deallocate() }
        // Read-only datasets become a database that can be worked in.
        return try staged.write(path, modified: status.modified, mode: status.st_mode & 0o777 | 0o200) {
            (sink) throws(DatabaseError) in
            let count = try file.read(into: buffer, action: action)
            try sink(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            return count > 0
        }
    }
}

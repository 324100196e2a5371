import FSDB
import Glibc
import PlantDBCore

/// A database to try things on, as upstream's `test_database`; not connected yet.
///
/// ```swift
/// let database = try await testDatabase()
/// try database.connect()
/// print(try database.listScans())  // ["real_plant_analyzed"]
/// ```
///
/// - Parameters:
///   - datasets: the name of a dataset, `"all"` for the five, nil for none.
///   - path: a new or empty folder, or a database; nil: a new folder in the system's folder
///     for temporary files (`TMPDIR`, else `/tmp`), which is the caller's to remove.
/// - Throws: what ``TestDatabase/populate(root:datasets:options:progress:)`` throws.
public func testDatabase(
    _ datasets: String? = TestDataset.realPlantAnalyzed.rawValue, at path: String? = nil,
    options: TestDatabaseOptions = TestDatabaseOptions()
) async throws(DatabaseError) -> FSDB {
    let chosen = try TestDatabase.datasets(named: datasets)
    let root: String
    if let path { root = path } else { root = try temporaryFolder() }
    try await TestDatabase.populate(root: root, datasets: chosen, options: options)
    return try FSDB(root)
}

/// A new private folder: mkdtemp(3).
private func temporaryFolder() throws(DatabaseError) -> String {
    let parent = Environment.value(of: "TMPDIR") ?? "/tmp"
    var template = Array((parent + "/plantdb-XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else {
        throw DatabaseError(
            .io, "cannot make a folder in \(parent.printable)", cause: String(cString: strerror(errno)))
    }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
}

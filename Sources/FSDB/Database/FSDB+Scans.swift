import PlantDBCore

extension FSDB {
    // MARK: Looking

    /// Names of all scans, in ascending bytewise order; members of a timelapse as
    /// `container/scan`. A directory counts as a scan if it has a directory `metadata` and a
    /// file `files.json`, and a name by the rules of ``ScanID``. Costs a few system calls a
    /// directory.
    ///
    /// - Throws: `invalidArgument` if the database is not connected; `permissionDenied`, `io`.
    public func listScans() throws(DatabaseError) -> [String] {
        try withConnection { (_) throws(DatabaseError) in
            try DatabaseListing.of(root).scans.filter { $0.kind == .scan }.map(\.scan.rawValue)
        }
    }

    /// All scans, in the order of ``listScans()``.
    public func getScans() throws(DatabaseError) -> [Scan] {
        var scans: [Scan] = []
        for name in try listScans() { scans.append(Scan(database: self, scanID: try ScanID(name))) }
        return scans
    }

    /// Names of the timelapse containers (releases 0.16 and later): directories with a
    /// `timelapse.json`.
    public func listTimelapses() throws(DatabaseError) -> [String] {
        try withConnection { (_) throws(DatabaseError) in
            try DatabaseListing.of(root).scans.filter { $0.kind == .timelapse }.map(\.scan.rawValue)
        }
    }

    /// - Parameter id: `scan` or `container/scan`.
    /// - Throws: `notFound` if there is no such scan, saying what is missing; `invalidData` if
    ///   its index cannot be read; `invalidName`.
    public func getScan(_ id: String) throws(DatabaseError) -> Scan {
        let scan = try ScanID(id)
        try read(scan) { _, _ in }
        return Scan(database: self, scanID: scan)
    }

    public func scanExists(_ id: String) throws(DatabaseError) -> Bool {
        let scan = try ScanID(id)
        return try withConnection { (_) throws(DatabaseError) in try isScan(scan) }
    }

    // MARK: Changing

    /// A new scan with its metadata and an empty index. It appears whole or not at all, and
    /// every release finds it at its next start.
    ///
    /// - Parameter id: `scan`, or `container/scan` in a timelapse container that exists; the
    ///   metadata then gets the key `timelapse` that releases 0.16 and later want.
    /// - Throws: `alreadyExists`, `invalidName`, `notFound` if there is no such container,
    ///   `invalidArgument` if `metadata` names another one.
    @discardableResult
    public func createScan(_ id: String, metadata: JSONObject = [:]) throws(DatabaseError) -> Scan {
        let scan = try ScanID(id)
        var metadata = metadata
        if let timelapse = metadata["timelapse"] {
            try scan.checkTimelapse(timelapse)
        } else if let container = scan.container {
            metadata["timelapse"] = ["id": .string(container.rawValue)]
        }
        try withConnection { (connection) throws(DatabaseError) in
            try connection.checkWritable(path)
            if let container = scan.container, try !isTimelapse(container) {
                throw DatabaseError(
                    .notFound, "there is no timelapse \(container) in \(path.printable)", scan: scan)
            }
            guard try root.status(of: scan.rawValue) == nil else { throw alreadyExists(scan) }
            let lock = try connection.lockScan(scan, in: root)
            defer { lock.release() }
            let staging = try connection.staging(in: root)
            let name = "scan-" + randomName()
            do throws(DatabaseError) {
                try staging.makeDirectory(name)
                let writer = ScanWriter(directory: try staging.directory(name), staging: staging)
                try writer.publish(metadata, to: ScanPath.scanMetadata.rawValue)
                try writer.publish(FileIndex())
                try staging.rename(name, to: root, scan.rawValue, replaces: false)
            } catch {
                try staging.removeTree(name)
                throw error.code == .alreadyExists ? alreadyExists(scan) : error.locating(scan: scan)
            }
            connection.scans[scan] = nil
        }
        return Scan(database: self, scanID: scan)
    }

    /// Deletes a scan with all it holds. It disappears at once, by one rename.
    /// - Throws: `notFound`, `locked`.
    public func deleteScan(_ id: String) throws(DatabaseError) {
        let scan = try ScanID(id)
        try withConnection { (connection) throws(DatabaseError) in
            try connection.checkWritable(path)
            guard try isScan(scan) else {
                throw DatabaseError(.notFound, "there is no scan \(scan) in \(path.printable)", scan: scan)
            }
            let lock = try connection.lockScan(scan, in: root)
            defer { lock.release() }
            let staging = try connection.staging(in: root)
            let name = "deleted-" + randomName()
            try root.rename(scan.rawValue, to: staging, name, replaces: false)
            connection.scans[scan] = nil
            try staging.removeTree(name)
        }
    }

    private func alreadyExists(_ scan: ScanID) -> DatabaseError {
        DatabaseError(
            .alreadyExists, "there is a scan or directory \(scan) in \(path.printable) already", scan: scan)
    }

    // MARK: What a directory is

    private func isTimelapse(_ container: ScanID) throws(DatabaseError) -> Bool {
        try root.status(of: "\(container)/\(ScanPath.timelapseMarker)")?.kind == .file
    }

    private func isScan(_ scan: ScanID) throws(DatabaseError) -> Bool {
        guard let directory = try root.directoryIfPresent(scan.rawValue),
            try DatabaseListing.facts(of: directory).whyNotAScan == nil
        else { return false }
        // A container is none, and a directory in something else than a container neither.
        if let container = scan.container { return try isTimelapse(container) }
        return try !isTimelapse(scan)
    }
}

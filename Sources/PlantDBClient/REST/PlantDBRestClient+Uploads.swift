import NIOCore
import PlantDBCore

extension PlantDBRestClient {
    /// Makes a scan of an archive: a ZIP without a folder around the scan's files.
    ///
    /// - Parameters:
    ///   - size: of the archive, in bytes.
    ///   - pieces: the archive from its beginning, made anew for every try.
    /// - Important: where the scan exists release 0.14 adds what is missing, ignores the rest, and
    ///   says nothing; later ones refuse. Release 0.14 puts a stub in place of
    ///   `metadata/metadata.json`.
    public func uploadArchive(
        of scan: ScanID, size: Int64,
        _ pieces: @escaping @Sendable () -> @Sendable () async throws(DatabaseError) -> ByteBuffer?
    ) async throws(DatabaseError) {
        let boundary = "plantdb-\(UInt64.random(in: .min ... .max))-\(UInt64.random(in: .min ... .max))"
        let head =
            "--\(boundary)\r\nContent-Disposition: form-data; name=\"zip_file\"; "
            + "filename=\"\(scan.name).zip\"\r\nContent-Type: application/zip\r\n\r\n"
        let tail = "\r\n--\(boundary)--\r\n"
        let answer = try await send(.POST, .archive(scan.name)) { () throws(DatabaseError) in
            let body = FormBody(head: head, pieces: pieces(), tail: tail)
            return .stream(
                { () async throws(DatabaseError) in try await body.next() },
                length: Int64(head.utf8.count + tail.utf8.count) + size,
                type: "multipart/form-data; boundary=\(boundary)")
        }
        do throws(DatabaseError) { try await check(answer, doing: "take scan \(scan)") } catch {
            guard answer.status == 500, dialect.needsLogin else { throw error }
            throw DatabaseError(
                .permissionDenied,
                "\(address) did not take scan \(scan): the account may not create scans (a reader), or "
                    + "the server failed, as its log would say", cause: error.cause, scan: scan)
        }
        _ = try await answer.collect(upTo: 64 << 20)
    }

    /// Gives a file of a scan new content, or makes it; refresh the scan when it is complete.
    /// Releases 0.14 and 0.15 only.
    ///
    /// - Parameter size: in bytes; a file without content cannot be sent.
    /// - Throws: `unsupported` in later releases, for an empty file, and for names outside ASCII, which
    ///   the server would spell otherwise.
    public func uploadFile(
        _ path: ScanPath, of scan: ScanID, size: Int64,
        _ pieces: @escaping @Sendable () -> @Sendable () async throws(DatabaseError) -> ByteBuffer?
    ) async throws(DatabaseError) {
        guard Self.canUpload(path, size: size) else {
            throw DatabaseError(
                .unsupported,
                "\(path) of scan \(scan) cannot be sent to \(address): it is empty, or its name is not ASCII",
                scan: scan, path: path.rawValue)
        }
        let headers = [
            ("Content-Disposition", "attachment; filename=file"), ("X-File-Path", path.rawValue),
        ]
        let answer = try await send(.POST, .rawUpload(scan: scan.name), headers: headers) {
            () throws(DatabaseError) in
            .stream(pieces(), length: size, type: "application/octet-stream")
        }
        try await check(answer, doing: "take \(path) of scan \(scan)")
        _ = try await answer.collect(upTo: 1 << 20)
    }

    static func canUpload(_ path: ScanPath, size: Int64) -> Bool {
        size > 0 && path.rawValue.utf8.allSatisfy { (0x20..<0x7f).contains($0) }
            // The header's value loses white space at its ends.
            && !path.rawValue.hasPrefix(" ") && !path.rawValue.hasSuffix(" ")
    }
}

/// RFC 7578: a form of one file. One task pulls.
private actor FormBody {
    private var head: ByteBuffer?
    private let pieces: @Sendable () async throws(DatabaseError) -> ByteBuffer?
    private var tail: ByteBuffer?

    init(
        head: String, pieces: @escaping @Sendable () async throws(DatabaseError) -> ByteBuffer?, tail: String
    ) {
        self.head = ByteBuffer(string: head)
        self.pieces = pieces
        self.tail = ByteBuffer(string: tail)
    }

    func next() async throws(DatabaseError) -> ByteBuffer? {
        if let head = head.take() { return head }
        if let piece = try await pieces() { return piece }
        return tail.take()
    }
}

import NIOCore
import PlantDBCore
import ZipStream

extension PlantDBRestClient {
    /// The archive of a scan as it arrives: a ZIP, whose files lie in a folder of the scan's name in
    /// release 0.14. The server builds it whole first.
    ///
    /// An archive without entries means that the scan's folder is gone.
    /// - Throws: `notFound` if there is no such scan, `permissionDenied`; as all calls do.
    public func downloadArchive(of scan: ScanID) async throws(DatabaseError) -> HTTPAnswer {
        let answer = try await send(.GET, .archive(scan.name))
        try await check(answer, doing: "send the archive of scan \(scan)")
        return answer
    }

    /// How much of an archive's end is asked for: the directory of some 1,000 files, in bytes.
    private static let tailSize: Int64 = 128 << 10

    /// The directory at the end of a scan's archive. One request, or two for a larger directory and, the
    /// first time, for an archive smaller than ``tailSize``; each makes the server build the archive.
    func archiveDirectory(of scan: ScanID) async throws(DatabaseError) -> [ZipEntry] {
        var size = Self.tailSize
        while true {
            let (tail, archiveSize) = try await archiveTail(of: scan, size: size)
            do throws(ZipError) {
                let location = try ZipDirectory.locate(in: tail, archiveSize: archiveSize)
                let start = archiveSize - Int64(tail.readableBytes)
                if location.range.lowerBound >= start {
                    let offset = tail.readerIndex + Int(location.range.lowerBound - start)
                    guard let bytes = tail.getSlice(at: offset, length: location.range.count) else {
                        throw ZipError(.corrupt, "the directory is not where the archive's end says")
                    }
                    return try ZipDirectory(bytes, at: location).entries
                }
                // Somebody may add files between the two requests.
                size = archiveSize - location.range.lowerBound + Self.tailSize
                guard size <= Int64(Self.maximumDirectorySize) else {
                    throw ZipError(.tooLarge, "its directory has \(location.range.count) bytes")
                }
            } catch { throw .archive(error, of: scan, at: address) }
        }
    }

    private static let maximumDirectorySize = 256 << 20

    private func archiveTail(of scan: ScanID, size: Int64) async throws(DatabaseError) -> (
        tail: ByteBuffer, archiveSize: Int64
    ) {
        let isSmall = smallScans.withLock { $0.contains(scan) }
        var answer = try await send(
            .GET, .archive(scan.name), headers: isSmall ? [] : [("Range", "bytes=-\(size)")])
        if answer.status == 416 {
            smallScans.withLock { _ = $0.insert(scan) }
            // The archive has fewer bytes. RFC 9110, 14.1.2 would have them all sent.
            _ = try await answer.collect(upTo: 1 << 20)
            answer = try await send(.GET, .archive(scan.name))
        }
        try await check(answer, doing: "send the archive of scan \(scan)")
        var tail = ByteBuffer()
        var received: Int64 = 0
        while let bytes = try await answer.next() {
            received += Int64(bytes.readableBytes)
            tail.writeImmutableBuffer(bytes)
            let excess = Int64(tail.readableBytes) - size
            // A server that knows no ranges sends everything.
            if excess > size { tail.moveReaderIndex(forwardBy: Int(excess)) }
            if excess > size { tail.discardReadBytes() }
        }
        guard answer.status == 206 else { return (tail, received) }
        // RFC 9110, 14.4: bytes FIRST-LAST/COMPLETE.
        guard let range = answer.headers.first(name: "content-range"),
            let total = range.split(separator: "/").last.flatMap({ Int64($0) }), total >= received
        else {
            throw DatabaseError(
                .invalidData, "\(address) sent a part of an archive without saying which", scan: scan)
        }
        return (tail, total)
    }
}

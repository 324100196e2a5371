import AsyncHTTPClient
import Glibc
import NIOCore
import NIOPosix
import PlantDBCore

/// Fetches an archive into the cache folder and checks its MD5 sum.
///
/// An archive that is there already is only checked. A download that was cut goes on where
/// it ended, if the server can (`Range`, RFC 9110, section 14); a whole that fails the check
/// after going on is fetched once more from the start.
struct ArchiveDownload: Sendable {
    let archive: DatasetArchive
    let baseURL: String
    /// nil: the user's cache folder.
    let folder: String?

    private static let advice =
        "; use the generated look-alikes (leave the download out), or name a folder that holds the "
        + "datasets with PLANTDB_DATASETS"

    /// - Returns: the path of the archive.
    func run(progress: @Sendable (TestDatabaseProgress) -> Void) async throws(DatabaseError) -> String {
        let folder = if let folder { folder } else { try Self.cacheFolder() }
        let path = folder + "/" + archive.fileName
        do {
            let partial = try await NIOThreadPool.singleton.runIfActive {
                try FileSystem.makeDirectories(folder)
                return try PartialFile(path + ".part")
            }
            if try await isGenuine(path) {
                try await NIOThreadPool.singleton.runIfActive {
                    if unlink(partial.path) != 0 { throw DatabaseError.system("remove \(partial.path)") }
                }
                return path
            }
            try await fetch(to: partial, progress: progress)
            try await NIOThreadPool.singleton.runIfActive { try partial.publish(as: path) }
            return path
        } catch {
            throw translated(error)
        }
    }

    /// `plantdb/datasets` in `XDG_CACHE_HOME`, else in `~/.cache`.
    private static func cacheFolder() throws(DatabaseError) -> String {
        // The XDG specification asks for relative paths to be ignored.
        if let cache = Environment.value(of: "XDG_CACHE_HOME"), cache.hasPrefix("/") {
            return cache + "/plantdb/datasets"
        }
        guard let home = Environment.value(of: "HOME") else {
            throw DatabaseError(.invalidArgument, "there is no cache folder: set XDG_CACHE_HOME or HOME")
        }
        return home + "/.cache/plantdb/datasets"
    }

    /// Whether there is the archive at `path`; one with another sum is removed.
    private func isGenuine(_ path: String) async throws -> Bool {
        let md5 = archive.md5
        return try await NIOThreadPool.singleton.runIfActive {
            guard try FileSystem.status(path) != nil else { return false }
            if try PartialFile.md5(of: path) == md5 { return true }
            if unlink(path) != 0 { throw DatabaseError.system("remove \(path)") }
            return false
        }
    }

    private func fetch(to partial: PartialFile, progress: @Sendable (TestDatabaseProgress) -> Void)
        async throws
    {
        var configuration = HTTPClient.Configuration()
        configuration.httpVersion = .http1Only
        configuration.decompression = .disabled
        configuration.redirectConfiguration = .follow(max: 5, allowCycles: false)
        configuration.timeout = .init(connect: .seconds(15), read: .seconds(60))
        // Offline is to be said at once.
        configuration.connectionPool.retryConnectionEstablishment = false
        let client = HTTPClient(
            eventLoopGroup: HTTPClient.defaultEventLoopGroup, configuration: configuration)
        do {
            try await fetch(to: partial, with: client, progress: progress)
        } catch {
            try await client.shutdown()
            throw error
        }
        try await client.shutdown()
    }

    private func fetch(
        to partial: PartialFile, with client: HTTPClient, progress: @Sendable (TestDatabaseProgress) -> Void
    ) async throws {
        let start = try partial.size()
        let whole = try await receive(into: partial, from: start, with: client, progress: progress)
        if whole, try await sum(of: partial) == archive.md5 { return }
        if start > 0 {
            // The beginning was of another file, or damaged.
            try partial.truncate()
            _ = try await receive(into: partial, from: 0, with: client, progress: progress)
        }
        let sum = try await sum(of: partial)
        if sum == archive.md5 { return }
        try partial.truncate()
        throw DatabaseError(
            .verificationFailed,
            "\(archive.url(under: baseURL)) is not the archive that was published: its MD5 sum is \(sum) and "
                + "should be \(archive.md5); it was removed; try again later" + Self.advice)
    }

    private func sum(of partial: PartialFile) async throws -> String {
        try await NIOThreadPool.singleton.runIfActive { try PartialFile.md5(of: partial.path) }
    }

    /// - Returns: false if the server has nothing from `offset` on.
    private func receive(
        into partial: PartialFile, from offset: Int64, with client: HTTPClient,
        progress: @Sendable (TestDatabaseProgress) -> Void
    ) async throws -> Bool {
        let url = archive.url(under: baseURL)
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "User-Agent", value: "plantdb-swift")
        if offset > 0 { request.headers.add(name: "Range", value: "bytes=\(offset)-") }
        let response = try await client.execute(request, deadline: .distantFuture)
        var position = offset
        switch response.status.code {
        case 200:
            try partial.truncate()
            position = 0
        case 206 where response.headers.first(name: "Content-Range")?.hasPrefix("bytes \(offset)-") == true:
            break
        case 206 where offset > 0, 416 where offset > 0:
            return false
        default: throw refusal(Int(response.status.code), url)
        }
        let total = response.headers.first(name: "Content-Length").flatMap { Int64($0) }.map { $0 + position }
        progress(.downloading(archive.dataset, bytes: position, of: total))
        for try await part in response.body {
            let place = position
            try await NIOThreadPool.singleton.runIfActive {
                try part.withUnsafeReadableBytes { bytes in try partial.write(bytes, at: place) }
            }
            position += Int64(part.readableBytes)
            progress(.downloading(archive.dataset, bytes: position, of: total))
        }
        return true
    }

    private func refusal(_ status: Int, _ url: String) -> DatabaseError {
        let code: DatabaseError.Code =
            switch status {
            case 404, 410: .notFound
            case 401, 403: .permissionDenied
            default: .unreachable
            }
        return DatabaseError(
            code, "the server answers \(status) to a request for \(url.printable)" + Self.advice)
    }

    private func translated(_ error: any Error) -> DatabaseError {
        if let error = error as? DatabaseError { return error }
        let url = archive.url(under: baseURL).printable
        if error is CancellationError || error as? HTTPClientError == .cancelled {
            return DatabaseError(.cancelled, "cancelled while downloading \(url)")
        }
        let isWrong = [HTTPClientError.invalidURL, .emptyHost, .emptyScheme].contains {
            error as? HTTPClientError == $0
        }
        return DatabaseError(
            isWrong ? .invalidArgument : .unreachable,
            isWrong
                ? "\(url) is no address to download from"
                : "cannot download \(url); what has arrived is kept, and the same command goes on from there"
                    + Self.advice,
            cause: String(describing: error).printable)
    }
}

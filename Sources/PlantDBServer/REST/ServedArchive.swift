import HTTPTypes
import Hummingbird
import PlantDBCore
import ZipStream

/// A scan as a ZIP archive, streamed from the first byte.
struct ServedArchive: Sendable {
    let manifest: ScanManifest
    let endpoint: any DatabaseEndpoint
    let dialect: ServedDialect

    private var selection: EntrySelection {
        EntrySelection(
            manifest: manifest,
            positions: manifest.indices.filter {
                manifest[$0].kind == .file
                    && !manifest[$0].path.components.contains { $0 == ScanPath.webcacheName }
            }.map { Int32($0) })
    }

    /// One folder around all in 0.14, none later.
    private func path(_ entry: FileEntry) -> String {
        dialect == .root ? "\(manifest.scan.name)/\(entry.path)" : entry.path.rawValue
    }

    /// Nothing is compressed: photographs are already, and the archive's length is known so.
    ///
    /// A file that changes meanwhile cuts the answer short of its length.
    func response() async throws(DatabaseError) -> Response {
        let selection = selection
        let length: Int64
        do {
            length = try ZipWriter.exactSize(
                of: selection.map { (path($0), $0.size, $0.modified?.seconds ?? 0) })
        } catch {
            throw DatabaseError(
                .unsupported, "scan \(manifest.scan) cannot be put into an archive",
                cause: String(describing: error), scan: manifest.scan)
        }
        let parts = try await endpoint.parts(of: selection)
        return Response(
            status: .ok,
            headers: [
                .contentType: "application/zip",
                .contentDisposition: "attachment; filename=\(manifest.scan.name).zip",
            ],
            body: ResponseBody(contentLength: Int(length)) { writer in
                var zip = ZipWriter()
                for try await part in parts {
                    switch part {
                    case .begin(let entry):
                        try await writer.write(
                            try zip.begin(
                                path(entry), size: entry.size, modified: entry.modified?.seconds ?? 0,
                                method: .stored))
                    case .bytes(let content):
                        for piece in try zip.write(content) { try await writer.write(piece) }
                    case .end: try await writer.write(try zip.end())
                    }
                }
                try await writer.write(try zip.finish())
                try await writer.finish(nil)
            })
    }
}

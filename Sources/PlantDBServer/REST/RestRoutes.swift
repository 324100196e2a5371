import Hummingbird
import PlantDBCore

extension RouteTable {
    /// The reading calls of upstream's REST API, of 0.14 at the root and of 0.16 below `api/v1`.
    ///
    /// - Parameter prefix: what stands before them, with a slash at its end, or nothing.
    mutating func addRestRoutes(_ service: RestService, prefix: String) {
        for dialect in RestDialect.allCases {
            let before = entries.count
            addCommonRoutes(service, dialect, prefix + dialect.base, prefix + dialect.assets)
            switch dialect {
            case .root: addRootRoutes(service, prefix)
            case .v1: addVersionedRoutes(service, prefix + dialect.base)
            }
            let routes = entries[before...].map { "\($0.method.rawValue) /\($0.path)" }
            on(.get, prefix + dialect.base, .anybody) { _, _, _ in service.home(dialect, routes: routes) }
        }
    }

    private mutating func addCommonRoutes(
        _ service: RestService, _ dialect: RestDialect, _ base: String, _ assets: String
    ) {
        on(.get, base + "health", .read) { _, _, _ in await service.health() }
        on(.get, base + "scans", .read) { request, _, _ in await service.scanList(request) }
        on(.get, base + "refresh", .read) { request, _, _ in await service.refresh(request) }
        on(.get, base + "scans/:scan", .read) { _, context, _ in
            await service.scanInfo(try context.text("scan"), dialect)
        }
        on(.get, assets + "files/**", .read) { request, context, _ in
            await service.file(at: context.parameters.getCatchAll(), request)
        }
        on(.get, assets + "image/:scan/:fileset/:file", .read) { request, context, _ in
            await service.image(
                try context.text("scan"), try context.text("fileset"), try context.text("file"), request)
        }
        on(.get, assets + "archive/:scan", .read) { _, context, _ in
            await service.archive(try context.text("scan"), dialect)
        }
    }

    private mutating func addRootRoutes(_ service: RestService, _ base: String) {
        on(.get, base + "scans_info", .read) { _, _, _ in await service.scanInfos(.root) }
        addDatasetRoutes(
            service, scan: base + "api/scan", fileset: base + "api/fileset", file: base + "api/file")
    }

    private mutating func addVersionedRoutes(_ service: RestService, _ base: String) {
        on(.get, base + "scans/info", .read) { _, _, _ in await service.scanInfos(.v1) }
        on(.get, base + "files/:scan/:fileset/:file", .read) { request, context, _ in
            await service.file(
                try context.text("scan"), try context.text("fileset"), try context.text("file"), request)
        }
        addDatasetRoutes(service, scan: base + "scans", fileset: base + "filesets", file: base + "files")
    }

    private mutating func addDatasetRoutes(
        _ service: RestService, scan: String, fileset: String, file: String
    ) {
        on(.get, scan + "/:scan/metadata", .read) { request, context, _ in
            await service.metadata(of: try context.text("scan"), for: request)
        }
        on(.get, scan + "/:scan/filesets", .read) { _, context, _ in
            await service.filesets(try context.text("scan"))
        }
        on(.get, fileset + "/:scan/:fileset/metadata", .read) { request, context, _ in
            await service.metadata(of: try context.text("scan"), try context.text("fileset"), for: request)
        }
        on(.get, fileset + "/:scan/:fileset/files", .read) { _, context, _ in
            await service.files(try context.text("scan"), try context.text("fileset"))
        }
        on(.get, file + "/:scan/:fileset/:file/metadata", .read) { request, context, _ in
            await service.metadata(
                of: try context.text("scan"), try context.text("fileset"), try context.text("file"),
                for: request)
        }
    }
}

extension ServerContext {
    /// A part of the path, decoded.
    fileprivate func text(_ name: String) throws -> String {
        let raw = try parameters.require(name)
        guard let text = percentDecoded(raw[...]) else { throw HTTPError(.badRequest) }
        return text
    }
}

import Hummingbird
import PlantDBCore

extension RouteTable {
    /// The calls of upstream's REST API, of 0.14 at the root and of 0.16 below `api/v1`.
    ///
    /// - Parameter prefix: what stands before them, with a slash at its end, or nothing.
    mutating func addRestRoutes(_ service: RestService, _ accounts: RestAccounts, prefix: String) {
        for dialect in ServedDialect.allCases {
            let before = entries.count
            addCommonRoutes(service, dialect, prefix + dialect.base, prefix + dialect.assets)
            switch dialect {
            case .root: addRootRoutes(service, accounts, prefix)
            case .v1: addVersionedRoutes(service, accounts, prefix + dialect.base)
            }
            let routes = entries[before...].map { "\($0.method.rawValue) /\($0.path)" }
            on(.get, prefix + dialect.base, .anybody, .init("What this server is")) { _, _, _ in
                service.home(dialect, routes: routes)
            }
        }
    }

    private mutating func addCommonRoutes(
        _ service: RestService, _ dialect: ServedDialect, _ base: String, _ assets: String
    ) {
        on(.get, base + "health", .read, .init("Whether the database can be read")) { _, _, _ in
            await service.health()
        }
        on(.get, base + "scans", .read, .init("The names of scans", query: ["query", "fuzzy"])) {
            request, _, _ in
            await service.scanList(request)
        }
        on(
            .get, base + "refresh", .read,
            .init("Nothing: the database is read at every call", query: ["scan_id"])
        ) {
            request, _, _ in await service.refresh(request)
        }
        on(.get, base + "scans/:scan", .read, .init("A scan at a glance")) { _, context, _ in
            await service.scanInfo(try context.text("scan"), dialect)
        }
        on(
            .post, base + "scans/:scan", .write,
            .init("Make a scan", body: .json(["metadata?"]), makesScan: true)
        ) {
            request, context, caller in
            await service.createScan(
                try context.text("scan"), request, caller, dialect, repeats: dialect == .root)
        }
        on(.get, assets + "files/**", .read, .init("A file by its path, whole or a range")) {
            request, context, _ in await service.file(at: context.parameters.getCatchAll(), request)
        }
        on(.get, assets + "image/:scan/:fileset/:file", .read, .init("An image", query: ["size"])) {
            request, context, _ in
            await service.image(
                try context.text("scan"), try context.text("fileset"), try context.text("file"), request)
        }
        on(.get, assets + "archive/:scan", .read, .init("A scan as a ZIP archive")) { _, context, _ in
            await service.archive(try context.text("scan"), dialect)
        }
        on(
            .post, assets + "archive/:scan", .write,
            .init(
                "Make a scan of a ZIP archive", body: .form(fields: [], files: ["zip_file"]), makesScan: true)
        ) { request, context, _ in
            await service.uploadArchive(try context.text("scan"), request, dialect)
        }
    }

    private mutating func addRootRoutes(_ service: RestService, _ accounts: RestAccounts, _ base: String) {
        on(.get, base + "scans_info", .read, .init("All scans at a glance")) { _, _, _ in
            await service.scanInfos(.root)
        }
        // The scan alone; the router has one pattern at a place.
        on(
            .post, base + "files/**", .write,
            .init("A file of a scan by its path (X-File-Path), new or anew", body: .raw)
        ) { request, context, _ in
            let components = context.parameters.getCatchAll()
            guard components.count == 1, let scan = components[0].percentDecoded else {
                throw HTTPError(.notFound)
            }
            return await service.uploadFile(scan, request)
        }
        on(.post, base + "api/scan", .write, .init("Make a scan", body: .json(["name", "metadata?"]))) {
            request, _, caller in await service.createScan(nil, request, caller, .root)
        }
        on(
            .post, base + "api/fileset", .write,
            .init("Make a fileset", body: .json(["scan_id", "fileset_id", "metadata?"]))
        ) { request, _, _ in await service.createFileset(nil, nil, request, .root) }
        on(
            .post, base + "api/file", .write,
            .init(
                "Make a file",
                body: .form(
                    fields: ["scan_id", "fileset_id", "file_id", "ext", "metadata?"], files: ["file"]))
        ) { request, _, _ in await service.createFile(nil, nil, nil, request, .root) }
        addLogin(accounts, base + "login", .root)
        addDatasetRoutes(
            service, scan: base + "api/scan", fileset: base + "api/fileset", file: base + "api/file")
    }

    private mutating func addVersionedRoutes(_ service: RestService, _ accounts: RestAccounts, _ base: String)
    {
        on(.get, base + "scans/info", .read, .init("All scans at a glance")) { _, _, _ in
            await service.scanInfos(.v1)
        }
        on(.get, base + "files/:scan/:fileset/:file", .read, .init("A file by its id")) {
            request, context, _ in
            await service.file(
                try context.text("scan"), try context.text("fileset"), try context.text("file"), request)
        }
        on(
            .post, base + "filesets/:scan/:fileset", .write,
            .init("Make a fileset", body: .json(["metadata?"]))
        ) {
            request, context, _ in
            await service.createFileset(try context.text("scan"), try context.text("fileset"), request, .v1)
        }
        on(
            .post, base + "files/:scan/:fileset/:file", .write,
            .init("Make a file", body: .form(fields: ["ext", "metadata?"], files: ["file"]))
        ) { request, context, _ in
            await service.createFile(
                try context.text("scan"), try context.text("fileset"), try context.text("file"), request, .v1)
        }
        addLogin(accounts, base + "auth/login", .v1)
        on(.post, base + "auth/logout", .anybody, .init("End a login")) { _, _, caller in
            accounts.logOut(caller)
        }
        on(.post, base + "auth/token/validation", .anybody, .init("Whose token this is")) { _, _, caller in
            accounts.validate(caller)
        }
        on(
            .post, base + "auth/token/refresh", .anybody,
            .init("New tokens for a login", body: .json(["refresh_token"]))
        ) { request, _, _ in await accounts.refresh(request) }
        on(
            .post, base + "auth/token/create-api-token", .anybody,
            .init("A token for programs", body: .json(["token_exp", "datasets"]))
        ) { request, _, caller in await accounts.createToken(request, caller) }
        addDatasetRoutes(service, scan: base + "scans", fileset: base + "filesets", file: base + "files")
    }

    private mutating func addLogin(_ accounts: RestAccounts, _ path: String, _ dialect: ServedDialect) {
        on(
            .get, path, .read,
            .init("Whether there is such an account", query: ["username"], isAboutNoScan: true)
        ) {
            request, _, _ in await accounts.exists(request)
        }
        on(.post, path, .anybody, .init("Log in", body: .json(["username", "password"]))) { request, _, _ in
            await accounts.logIn(request, dialect)
        }
    }

    private mutating func addDatasetRoutes(
        _ service: RestService, scan: String, fileset: String, file: String
    ) {
        on(.get, scan + "/:scan/metadata", .read, .init("Metadata of a scan", query: ["key"])) {
            request, context, _ in await service.metadata(of: try context.text("scan"), for: request)
        }
        on(.post, scan + "/:scan/metadata", .write, .init("Merge into them", body: .json(["metadata"]))) {
            request, context, _ in await service.setMetadata(of: try context.text("scan"), from: request)
        }
        on(.get, scan + "/:scan/filesets", .read, .init("The filesets of a scan")) { _, context, _ in
            await service.filesets(try context.text("scan"))
        }
        on(.get, fileset + "/:scan/:fileset/metadata", .read, .init("Metadata of a fileset", query: ["key"]))
        {
            request, context, _ in
            await service.metadata(of: try context.text("scan"), try context.text("fileset"), for: request)
        }
        on(
            .post, fileset + "/:scan/:fileset/metadata", .write,
            .init("Merge into them", body: .json(["metadata"]))
        ) { request, context, _ in
            await service.setMetadata(
                of: try context.text("scan"), try context.text("fileset"), from: request)
        }
        on(.get, fileset + "/:scan/:fileset/files", .read, .init("The files of a fileset")) { _, context, _ in
            await service.files(try context.text("scan"), try context.text("fileset"))
        }
        on(.get, file + "/:scan/:fileset/:file/metadata", .read, .init("Metadata of a file", query: ["key"]))
        {
            request, context, _ in
            await service.metadata(
                of: try context.text("scan"), try context.text("fileset"), try context.text("file"),
                for: request)
        }
        on(
            .post, file + "/:scan/:fileset/:file/metadata", .write,
            .init("Merge into them", body: .json(["metadata"]))
        ) { request, context, _ in
            await service.setMetadata(
                of: try context.text("scan"), try context.text("fileset"), try context.text("file"),
                from: request)
        }
    }
}

extension ServerContext {
    /// A part of the path, decoded.
    fileprivate func text(_ name: String) throws -> String {
        let raw = try parameters.require(name)
        guard let text = raw.percentDecoded else { throw HTTPError(.badRequest) }
        return text
    }
}

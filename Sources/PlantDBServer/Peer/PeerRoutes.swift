import Hummingbird
import PlantDBCore
import PlantDBWire

extension RouteTable {
    /// The routes of ``PeerProtocol``.
    ///
    /// - Parameter prefix: what stands before them, with a slash at its end, or nothing.
    mutating func addPeerRoutes(_ service: PeerService, prefix: String) {
        let base = prefix + PeerProtocol.base
        on(.get, base, .read) { _, _, caller in service.hello(mayWrite: caller.mayWrite) }
        on(.get, base + "/scans", .read) { _, _, _ in await service.listing() }
        on(.get, base + "/manifest", .read) { request, _, caller in
            await service.manifest(request, caller: caller)
        }
        on(.post, base + "/read", .read) { request, _, caller in
            await service.read(request, caller: caller)
        }
        on(.post, base + "/checksums", .read) { request, _, caller in
            await service.checksums(request, caller: caller)
        }
        on(.post, base + "/finds", .write) { request, _, _ in await service.finds(request) }
        on(.get, base + "/space", .read) { _, _, _ in await service.space() }
        // Also a shared lock keeps others from writing.
        on(.post, base + "/locks", .read) { request, _, caller in
            await service.takeLock(request, caller: caller)
        }
        on(.put, base + "/locks/:id", .read) { _, context, caller in
            await service.keepLock(try context.id(), caller: caller.name)
        }
        on(.delete, base + "/locks/:id", .read) { _, context, caller in
            await service.releaseLock(try context.id(), caller: caller.name)
        }
        on(.post, base + "/transactions", .write) { request, _, caller in
            await service.begin(request, caller: caller.name)
        }
        on(.put, base + "/transactions/:id/parts", .write) { request, context, caller in
            await service.receive(request, transaction: try context.id(), caller: caller.name)
        }
        on(.post, base + "/transactions/:id/remove", .write) { request, context, caller in
            await service.remove(request, transaction: try context.id(), caller: caller.name)
        }
        on(.post, base + "/transactions/:id/attributes", .write) { request, context, caller in
            await service.setAttributes(request, transaction: try context.id(), caller: caller.name)
        }
        on(.post, base + "/transactions/:id/commit", .write) { _, context, caller in
            await service.commit(transaction: try context.id(), caller: caller.name)
        }
        on(.delete, base + "/transactions/:id", .write) { _, context, caller in
            await service.abort(transaction: try context.id(), caller: caller.name)
        }
        on(.post, base + "/remove", .write) { request, _, _ in await service.removeScan(request) }
    }
}

extension ServerContext {
    fileprivate func id() throws -> String { try parameters.require("id") }
}

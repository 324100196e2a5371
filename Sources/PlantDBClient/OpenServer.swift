import PlantDBCore

/// The database behind a REST server.
///
/// - Throws: `unreachable`, `authentication`; `notADatabase` for a server that is no PlantDB.
public func openServer(_ access: HTTPAccess) async throws(DatabaseError) -> any DatabaseEndpoint {
    let transport = try HTTPTransport(access)
    do throws(DatabaseError) {
        if let peer = try await PeerEndpoint.open(transport) { return peer }
        throw DatabaseError(
            .notADatabase,
            "\(access.address) is no plantdb serve; check the address and its prefix")
    } catch {
        await transport.close()
        throw error
    }
}

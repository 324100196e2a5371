import PlantDBCore

/// The database behind a REST server: a `plantdb serve`, or a server of PlantDB's own releases.
///
/// - Throws: `unreachable`, `authentication`; `notADatabase` for a server that is no PlantDB.
public func openServer(_ access: HTTPAccess) async throws(DatabaseError) -> any DatabaseEndpoint {
    let transport = try HTTPTransport(access)
    let dialect: RestDialect
    do throws(DatabaseError) {
        if let peer = try await PeerEndpoint.open(transport, access) { return peer }
        guard let known = try await PlantDBRestClient.recognise(transport) else {
            throw DatabaseError(
                .notADatabase, "\(access.address) is no PlantDB server; check the address and its prefix")
        }
        dialect = known
    } catch {
        await transport.close()
        throw error
    }
    await transport.close()
    var patient = access
    patient.idleTimeout = max(access.idleTimeout, access.archiveTimeout)
    return RestEndpoint(
        client: PlantDBRestClient(transport: try HTTPTransport(patient), dialect: dialect),
        login: access.login)
}

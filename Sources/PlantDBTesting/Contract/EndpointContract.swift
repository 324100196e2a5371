import PlantDBCore

/// What every endpoint promises, as checks to run over any of them.
///
/// With Swift Testing:
/// ```swift
/// @Test(arguments: EndpointContract.checks)
/// func keepsTheContract(_ check: ContractCheck) async throws {
///     try await check.run(on: MyFixture())
/// }
/// ```
public struct EndpointContract: Sendable {
    /// All checks, each of which wants a fixture of its own.
    public static let checks: [ContractCheck] =
        readingChecks + publishingChecks + updateChecks + removalChecks + verificationChecks + nameChecks
        + timelapseChecks + lockChecks + cancellationChecks + faultChecks

    /// For databases where names that differ in upper and lower case only are one name.
    public static let foldedNameChecks = spellingChecks
}

/// The names that checks use.
enum ContractNames {
    // Literals that keep the rules of names, as every run of the contract proves anew.
    static let scan = try! ScanID("plant_1")
    static let other = try! ScanID("plant_2")
    static let unknown = try! ScanID("nowhere")
    static let timelapse = try! ScanID("growth")
    static let member = try! ScanID("growth/day_1")
    static let secondMember = try! ScanID("growth/day_2")

    static func path(_ text: String) throws(DatabaseError) -> ScanPath { try ScanPath(text) }
}

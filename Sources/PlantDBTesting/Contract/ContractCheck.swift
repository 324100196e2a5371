import PlantDBCore

/// One promise that every endpoint makes, and how it is looked at.
public struct ContractCheck: Sendable, CustomStringConvertible {
    /// What a check needs of the endpoint; where it is missing the check is left out.
    public enum Need: Sendable, Hashable {
        /// To write new scans.
        case newScans
        /// To change what exists.
        case updates
        case digests
        case modes
        case emptyDirectories
        case emptyFiles
        case allNames
        case locks
        case scanLocks
        case timelapses
    }

    public enum Outcome: Sendable, Hashable {
        case held
        /// The endpoint does not offer what the check is about.
        case notApplicable(String)
    }

    /// The promise, as a sentence.
    public let name: String
    public let needs: Set<Need>
    private let body: @Sendable (ContractSubject) async throws -> Void

    init(
        _ name: String, _ needs: Set<Need> = [],
        _ body: @escaping @Sendable (ContractSubject) async throws -> Void
    ) {
        self.name = name
        self.needs = needs
        self.body = body
    }

    public var description: String { name }

    /// Looks whether the promise holds.
    ///
    /// Closes all connections and disposes of the fixture, however it ends.
    /// - Throws: ``ContractViolation`` if it does not hold; whatever the endpoint throws where
    ///   it must not.
    @discardableResult
    public func run(on fixture: any ContractFixture) async throws -> Outcome {
        let result: Result<Outcome, any Error>
        do {
            result = .success(try await look(at: fixture))
        } catch {
            result = .failure(error)
        }
        try await fixture.dispose()
        return try result.get()
    }

    private func look(at fixture: any ContractFixture) async throws -> Outcome {
        let subject = ContractSubject(fixture: fixture, endpoint: try await fixture.connect())
        if let missing = missing(at: subject.endpoint.capabilities, fixture.traits) {
            await subject.close()
            return .notApplicable(missing)
        }
        do {
            try await body(subject)
        } catch let skip as ContractNotApplicable {
            await subject.close()
            return .notApplicable(skip.reason)
        } catch {
            await subject.close()
            throw error
        }
        await subject.close()
        return .held
    }

    private func missing(at capabilities: EndpointCapabilities, _ traits: ContractTraits) -> String? {
        for need in needs {
            let isThere =
                switch need {
                case .newScans: capabilities.writes != .none
                case .updates: capabilities.writes == .files
                case .digests: capabilities.provesDigests
                case .modes: traits.keepsModes
                case .emptyDirectories: traits.keepsEmptyDirectories
                case .emptyFiles: traits.keepsEmptyFiles
                case .allNames: traits.keepsAllNames
                case .locks: traits.hasLocks
                case .scanLocks: traits.hasScanLocks
                case .timelapses: traits.hasTimelapses
                }
            if !isThere { return "it does not offer \(need)" }
        }
        return nil
    }
}

/// A promise that an endpoint did not keep.
public struct ContractViolation: Error, CustomStringConvertible {
    public let message: String
    public let file: String
    public let line: Int

    public var description: String { "\(message) (\(file):\(line))" }
}

struct ContractNotApplicable: Error {
    let reason: String
}

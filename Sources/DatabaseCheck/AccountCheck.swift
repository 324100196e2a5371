import PlantDBCore

/// Finds owners and groups of scans that have no account here, each once, however many scans name it: scans that
/// come from another database keep the names of its users.
struct AccountCheck {
    let source: any ScanSource

    /// What the metadata of a scan says.
    struct Claim: Sendable, Hashable {
        var owner: String?
        var sharing: [String] = []

        init(_ metadata: JSONValue) {
            owner = metadata["owner"]?.string
            sharing = metadata["sharing"]?.array?.compactMap(\.string) ?? []
        }
    }

    /// - Throws: `unreachable`, `authentication` or `cancelled`.
    func run(_ claims: [(scan: ScanID, claim: Claim)], into report: inout CheckReport)
        async throws(DatabaseError)
    {
        guard let listing = source as? any AccountListing else { return }
        let known: AccountNames?
        do throws(DatabaseError) { known = try await listing.accountNames() } catch {
            switch error.code {
            case .unreachable, .authentication, .cancelled: throw error
            default:
                report.add(
                    Finding(
                        .warning, error.code == .invalidData ? .invalidJSON : .unreadable, scan: nil,
                        path: error.path ?? DatabaseLayout.accounts,
                        "\(error); so nobody can tell whether the owners of scans have accounts here"))
                return
            }
        }
        guard let known else { return }
        let owners = Self.scans(claims.compactMap { claim in claim.claim.owner.map { ($0, claim.scan) } })
        for (owner, scans) in owners where !known.users.contains(owner) {
            report.add(
                Finding(
                    .warning, .unknownAccount, scan: nil, path: DatabaseLayout.accounts,
                    "“\(owner)”, the owner of \(Self.list(scans)), has no account here, so nobody owns what is "
                        + "theirs; make the account, or correct the metadata"))
        }
        guard let groups = known.groups else { return }
        let shared = Self.scans(claims.flatMap { claim in claim.claim.sharing.map { ($0, claim.scan) } })
        for (group, scans) in shared where !groups.contains(group) {
            report.add(
                Finding(
                    .warning, .unknownAccount, scan: nil, path: DatabaseLayout.groups,
                    "there is no group “\(group)” here, with which \(Self.list(scans)) "
                        + "\(scans.count == 1 ? "is" : "are") shared, so it may not write there; make the group, "
                        + "or correct the metadata"))
        }
    }

    /// By name, in the order of the names.
    private static func scans(_ claims: [(String, ScanID)]) -> [(name: String, scans: [ScanID])] {
        Dictionary(grouping: claims, by: \.0).map { ($0.key, $0.value.map(\.1)) }.sorted { $0.0 < $1.0 }
    }

    private static func list(_ scans: [ScanID]) -> String {
        let names = scans.prefix(3).map(\.rawValue).joined(separator: ", ")
        return scans.count == 1
            ? "scan \(names)" : "\(scans.count) scans (\(names)\(scans.count > 3 ? ", …" : ""))"
    }
}

extension CheckReport {
    fileprivate mutating func add(_ finding: Finding) {
        findings.append(finding)
        counts[finding.severity, default: 0] += 1
    }
}

import Glibc
import PlantDBTesting
import Testing

/// The tests that hurt the built command: they kill it, cut its power, fill its disk and
/// change the files under it. One at a time, since each wants the machine.
///
/// Named after the faults (F), invariants (I) and failure modes (FM) that they check.
@Suite("Faults", .serialized) enum Faults {}

/// How deep to go: `PLANTDB_SOAK=1` asks for all of it.
enum Depth {
    static let isSoak = getenv("PLANTDB_SOAK").map { String(cString: $0) } == "1"

    static func rounds(_ plain: Int, soak: Int) -> Int { isSoak ? soak : plain }
}

/// What a fault needs of the machine.
enum Machine {
    static let isRoot = geteuid() == 0
    static let hasStrace = path(of: "strace") != nil
    static let hasPython = path(of: "python3") != nil
    /// Whether a file can be mounted as ext4: as root, with loop devices.
    static let hasLoopDevice: Bool = {
        guard isRoot, path(of: "mkfs.ext4") != nil, path(of: "mount") != nil else { return false }
        // Skipped by name where it cannot be had, whatever the reason.
        do { _ = try LoopDisk(megabytes: 16) } catch { return false }
        return true
    }()
    static let hasTmpfs: Bool = {
        guard isRoot, path(of: "mount") != nil else { return false }
        do { _ = try MemoryDisk(kilobytes: 256) } catch { return false }
        return true
    }()

    static let hasOverlay: Bool = {
        guard hasTmpfs else { return false }
        do { _ = try OverlayDisk(on: MemoryDisk(kilobytes: 256)) } catch { return false }
        return true
    }()

    static func path(of program: String) -> String? {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        for folder in path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"] {
            let candidate = "\(folder)/\(program)"
            if access(candidate, X_OK) == 0 { return candidate }
        }
        return nil
    }
}

/// Waits without holding a thread of the pool.
func pause(milliseconds: Int) async throws { try await Task.sleep(for: .milliseconds(milliseconds)) }

/// Fails with the first of `problems`, cut to what can be read; `context` says how to come
/// there again.
func expectNone(
    _ problems: [String], _ context: String, sourceLocation: SourceLocation = #_sourceLocation
) {
    guard !problems.isEmpty else { return }
    let shown = problems.prefix(6).map { "\n  " + String($0.prefix(400)) }.joined()
    Issue.record("\(context): \(problems.count) problems\(shown)", sourceLocation: sourceLocation)
}

/// Works through `items` in two lanes, each with a place of its own.
///
/// - Returns: what `body` returned, in no order.
func inTwoLanes<Item: Sendable, Place: Sendable, Result: Sendable>(
    _ items: [Item], _ makePlace: @escaping @Sendable () throws -> Place,
    _ body: @escaping @Sendable (Place, Item) async throws -> Result
) async throws -> [Result] {
    let lanes = 2
    return try await withThrowingTaskGroup(of: [Result].self) { group in
        for lane in 0..<min(lanes, items.count) {
            group.addTask {
                let place = try makePlace()
                var results: [Result] = []
                for index in stride(from: lane, to: items.count, by: lanes) {
                    results.append(try await body(place, items[index]))
                }
                return results
            }
        }
        return try await group.reduce(into: []) { $0 += $1 }
    }
}

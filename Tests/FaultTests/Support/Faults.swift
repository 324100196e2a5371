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

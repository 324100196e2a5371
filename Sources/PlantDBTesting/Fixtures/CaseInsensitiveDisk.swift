import Glibc

/// A mounted exFAT file system in a file, which does not tell upper and lower case apart, nor keeps modes.
/// Unmounted when the value goes. Only root can make one.
public final class CaseInsensitiveDisk: Sendable {
    private let folder: TemporaryDirectory
    private let device: String
    /// Where it is mounted.
    public let path: String

    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    /// Why there is none on this machine; nil: there is.
    public static let missing: String? = {
        if geteuid() != 0 { return "root is needed to mount exFAT" }
        // Whatever the reason, it is said by name.
        do { _ = try CaseInsensitiveDisk() } catch { return "exFAT cannot be mounted: \(error)" }
        return nil
    }()

    public init(megabytes: Int = 64) throws {
        folder = try TemporaryDirectory()
        path = folder.appending("disk")
        let (image, output) = (folder.appending("image"), folder.appending("output"))
        guard mkdir(path, 0o755) == 0 else { throw Failure(description: "no folder \(path)") }
        try Self.run("truncate", "-s", "\(megabytes)M", image)
        try Self.run("mkfs.exfat", image)
        try Self.run("losetup", "--find", "--show", image, output: output)
        device =
            String(decoding: try bytesOnDisk(output), as: UTF8.self)
            .split(separator: "\n").first.map(String.init) ?? ""
        do { try Self.run("mount.exfat-fuse", device, path) } catch {
            try Self.run("losetup", "--detach", device)
            throw error
        }
    }

    deinit {
        // Nobody is left to tell; a straggler keeps it until it ends (MNT_DETACH).
        umount2(path, 2)
        try? Self.run("losetup", "--detach", device)
    }

    private static func run(_ arguments: String..., output: String = "/dev/null") throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in argv { free(pointer) } }
        var process: pid_t = 0
        var status: CInt = 0
        guard posix_spawnp(&process, arguments[0], &actions, nil, &argv, environ) == 0,
            waitpid(process, &status, 0) == process, status == 0
        else { throw Failure(description: "\(arguments.joined(separator: " ")) failed (\(status))") }
    }
}

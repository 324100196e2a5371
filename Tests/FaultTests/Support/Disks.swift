import Glibc
import PlantDBCore
import PlantDBTesting

/// A mounted file system for one test, unmounted when the value goes.
class MountedDisk {
    fileprivate let folder: TemporaryDirectory
    /// Where it is mounted.
    let path: String
    private(set) var isMounted = false

    fileprivate init() throws {
        folder = try TemporaryDirectory()
        path = folder.appending("disk")
        guard mkdir(path, 0o755) == 0 else { throw SpawnFailure(message: "mkdir \(path)") }
    }

    fileprivate func mount(_ arguments: [String]) throws {
        let ending = try Child(["mount"] + arguments + [path]).wait()
        guard ending.code == 0 else { throw SpawnFailure(message: "mount: \(ending)") }
        isMounted = true
    }

    func unmount() throws {
        guard isMounted else { return }
        // Whoever has just ended may hold it for a moment more.
        for _ in 0..<100 {
            if umount(path) == 0 {
                isMounted = false
                return
            }
            usleep(10_000)
        }
        throw SpawnFailure(message: "umount \(path): \(String(cString: strerror(errno)))")
    }

    deinit {
        // MNT_DETACH: gone for us now, for stragglers when they end.
        if isMounted { umount2(path, 2) }
    }
}

/// A tmpfs.
final class MemoryDisk: MountedDisk {
    init(kilobytes: Int, inodes: Int = 100_000) throws {
        try super.init()
        try mount(["-t", "tmpfs", "-o", "size=\(kilobytes)k,nr_inodes=\(inodes)", "tmpfs"])
    }

    func resize(kilobytes: Int) throws { try shell("mount", "-o", "remount,size=\(kilobytes)k", path) }
    func resize(inodes: Int) throws { try shell("mount", "-o", "remount,nr_inodes=\(inodes)", path) }

    /// What is in use now.
    func usage() throws -> (kilobytes: Int, inodes: Int) {
        var info = statvfs()
        guard statvfs(path, &info) == 0 else { throw SpawnFailure(message: "statvfs \(path)") }
        return (
            Int(info.f_blocks - info.f_bfree) * Int(info.f_frsize) / 1024, Int(info.f_files - info.f_ffree)
        )
    }
}

/// An overlay (overlayfs), whose lower layer is the folder `lower` of a disk.
final class OverlayDisk: MountedDisk {
    private let disk: MountedDisk

    init(on disk: MountedDisk) throws {
        self.disk = disk
        try super.init()
        try shell("mkdir", "-p", disk.path + "/lower", disk.path + "/upper", disk.path + "/work")
        try mount([
            "-t", "overlay", "-o",
            "lowerdir=\(disk.path)/lower,upperdir=\(disk.path)/upper,workdir=\(disk.path)/work", "overlay",
        ])
    }
}

/// A file system in a file, with a power switch (ext4).
final class LoopDisk: MountedDisk {
    enum Kind { case ext4, ext4Casefold, fat }
    private let image: String

    init(megabytes: Int, _ kind: Kind = .ext4) throws {
        let images = try TemporaryDirectory()
        image = images.appending("image")
        self.images = images
        try super.init()
        try shell("truncate", "-s", "\(megabytes)M", image)
        switch kind {
        case .ext4: try shell("mkfs.ext4", "-q", "-F", image)
        case .ext4Casefold: try shell("mkfs.ext4", "-q", "-F", "-O", "casefold", image)
        case .fat: try shell("mkfs.vfat", image)
        }
        try mount(["-o", "loop", image])
    }

    private let images: TemporaryDirectory

    func remount() throws { try mount(["-o", "loop", image]) }

    /// Keeps the unmounted image, to begin from it again.
    func saveImage() throws { try shell("cp", "--sparse=always", image, image + ".saved") }
    func restoreImage() throws { try shell("cp", "--sparse=always", image + ".saved", image) }

    /// Cuts its power: what is not on disk by now never will be.
    /// - Parameter flushesJournal: whether the journal (not the data) is written out first.
    func cutPower(flushesJournal: Bool) throws {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SpawnFailure(message: "open \(path)") }
        defer { close(descriptor) }
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_LOGFLUSH or …_NOLOGFLUSH (fs/ext4/ext4.h).
        var flags: UInt32 = flushesJournal ? 1 : 2
        let result = withUnsafeMutablePointer(to: &flags) {
            ioctl(descriptor, 0x8004_587d, UnsafeMutableRawPointer($0))
        }
        guard result == 0 else { throw SpawnFailure(message: "cut: \(String(cString: strerror(errno)))") }
    }
}

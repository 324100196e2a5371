import Glibc
import PlantDBCore

/// What stat(2) says, in the terms of a manifest.
struct FileStatus {
    enum Kind { case file, directory, symbolicLink, special }

    let kind: Kind
    /// In bytes.
    let size: Int64
    let modified: ModificationTime
    /// Changes with every change of content or attributes, and cannot be set by hand.
    let changed: ModificationTime
    /// Permission bits only: set-id and sticky bits of files are not carried.
    let mode: UInt16
    let device: UInt64
    let inode: UInt64

    init(_ status: stat) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .directory
        case S_IFLNK: kind = .symbolicLink
        default: kind = .special
        }
        size = Int64(status.st_size)
        modified = ModificationTime(
            seconds: Int64(status.st_mtim.tv_sec), nanoseconds: Int64(status.st_mtim.tv_nsec))
        changed = ModificationTime(
            seconds: Int64(status.st_ctim.tv_sec), nanoseconds: Int64(status.st_ctim.tv_nsec))
        mode = UInt16(status.st_mode & 0o777)
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    /// Of an open file.
    static func of(_ descriptor: CInt) throws(SystemError) -> FileStatus {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw SystemError() }
        return FileStatus(status)
    }

    /// Of an open file, once its change time is so old that any further change makes another one: the
    /// kernel's clock for files stands still for up to 10 ms. Waits for that twice at most.
    ///
    /// - Returns: nil: it is written all the time.
    static func settled(_ descriptor: CInt) throws(SystemError) -> FileStatus? {
        for _ in 0..<3 {
            let status = try of(descriptor)
            let age = WallClock.now.nanoseconds - status.changed.nanoseconds
            if !(0..<clockTick).contains(age) { return status }
            usleep(UInt32(clockTick / 1000))
        }
        return nil
    }

    /// In nanoseconds: of a kernel with the coarsest clock (100 Hz), and a margin.
    private static let clockTick: Int64 = 12_000_000

    /// Device and inode: equal for two names of one file.
    var identity: String { "\(device):\(inode)" }

    func isSameFile(as other: FileStatus) -> Bool { device == other.device && inode == other.inode }
}

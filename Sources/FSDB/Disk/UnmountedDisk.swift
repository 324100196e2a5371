import CPlatform
import Glibc
import PlantDBCore

/// An empty directory that /etc/fstab names as a mount point, with nothing mounted there, is
/// a disk that is not plugged in: writing to it would fill the wrong disk.
enum UnmountedDisk {
    static func refuse(_ directory: Directory, path: String) throws(DatabaseError) {
        guard let table = setmntent("/etc/fstab", "r") else { return }
        defer { endmntent(table) }
        let own = try directory.status()
        while let entry = getmntent(table) {
            guard let point = entry.pointee.mnt_dir, String(cString: point) != "/" else { continue }
            var status = stat()
            var above = stat()
            guard stat(point, &status) == 0, FileStatus(status).isSameFile(as: own),
                stat(String(cString: point) + "/..", &above) == 0, above.st_dev == status.st_dev
            else { continue }
            throw DatabaseError(
                .notADatabase,
                "\(path.printable) is a mount point in /etc/fstab with nothing mounted on it; mount the disk first"
            )
        }
    }
}

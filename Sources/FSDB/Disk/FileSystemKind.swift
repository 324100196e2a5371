import CPlatform

/// What depends on the kind of file system, by the f_type of statfs(2).
struct FileSystemKind {
    private let magic: Int64

    init(of descriptor: CInt) { magic = plantdb_file_system_type(descriptor) }

    /// The smallest difference of modification times that it keeps.
    var timePrecisionNanoseconds: Int64 {
        switch magic {
        case 0x4d44: 2_000_000_000  // FAT
        case 0x2011_bab0: 10_000_000  // exFAT
        case 0x4244, 0x482b: 1_000_000_000  // HFS, HFS+
        case 0x5346_544e, 0x7366_746e, 0xff53_4d42, 0xfe53_4d42: 100  // NTFS, SMB
        default: 1
        }
    }

    /// Whether permission bits are kept; where they are not, they are neither set nor compared.
    var keepsModes: Bool {
        switch magic {
        case 0x4d44, 0x2011_bab0, 0x5346_544e, 0x7366_746e, 0xff53_4d42, 0xfe53_4d42: false
        default: true
        }
    }

    /// Whether a copy may share the extents of its source, and so cost no space.
    var sharesExtents: Bool {
        switch magic {
        case 0x9123_683e, 0x5846_5342, 0xca45_1a4e, 0x2fc1_2fc1: true  // Btrfs, XFS, bcachefs, ZFS
        default: false
        }
    }
}

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

    /// Whether syncfs(2) brings everything to the disk. Others take it and do less: FUSE tells its server
    /// nothing of it, and network file systems do not tell theirs.
    var syncfsFlushes: Bool {
        switch magic {
        case 0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010: true  // ext, XFS, Btrfs, F2FS
        case 0xca45_1a4e, 0x2fc1_2fc1, 0x3153_464a, 0x482b: true  // bcachefs, ZFS, JFS, HFS+
        case 0x0102_1994, 0x4d44, 0x2011_bab0, 0x7366_746e: true  // tmpfs, FAT, exFAT, NTFS
        default: false
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

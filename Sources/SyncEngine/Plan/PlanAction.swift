/// What becomes of one entry, and why. A closed list: the itemised output, the JSON events
/// and the engine all read this and nothing else.
public enum PlanAction: UInt8, Sendable, Hashable, CaseIterable {
    /// The target does not have it.
    case createFile
    case createDirectory
    /// It differs in size.
    case replaceSizeDiffers
    /// Same size, newer at the source.
    case replaceSourceNewer
    /// Same size, other content (by digest).
    case replaceContentDiffers
    /// Same size, and a side proves neither time nor digest: copied, never assumed equal.
    case replaceUnproven
    /// An index or metadata: becomes what both sides say, by key.
    case merge
    /// Same content; time or mode are made equal, no byte moves.
    case updateAttributes
    /// Newer at the target: different, and left alone, whatever the sizes. `--checksum` settles it.
    case keepTargetNewer
    /// Somebody wrote it at the target after the last run did: left alone. `--checksum` settles it.
    case keepTargetChanged
    /// Metadata that differ in meaning and are not older at the target: left alone. An option settles it.
    case keepMetadata
    /// JSON that does not parse at the source, and does at the target: held back, and a failure.
    case keepSourceDamaged
    /// Empty at the source, and not at the target: held back, and a failure. `--checksum` settles it.
    case keepSourceEmpty
    /// Different, and left alone because `--update` or `--ignore-existing` asked for it.
    case keepByOption
    /// A file on one side, a directory on the other: left alone.
    case keepKindDiffers
    /// The target cannot do it (a release that cannot replace files): left alone, said by name.
    case keepUnsupported

    public var transfersContent: Bool {
        switch self {
        case .createFile, .replaceSizeDiffers, .replaceSourceNewer, .replaceContentDiffers,
            .replaceUnproven, .merge:
            true
        case .createDirectory, .updateAttributes, .keepTargetNewer, .keepTargetChanged, .keepMetadata,
            .keepSourceDamaged, .keepSourceEmpty, .keepByOption, .keepKindDiffers, .keepUnsupported:
            false
        }
    }

    /// Whether a run does anything for it.
    public var isWork: Bool {
        transfersContent || self == .createDirectory || self == .updateAttributes
    }

    /// Different after the run, although no option asked for that.
    public var isUnresolved: Bool {
        switch self {
        case .keepTargetNewer, .keepTargetChanged, .keepMetadata, .keepKindDiffers, .keepUnsupported: true
        case .createFile, .createDirectory, .replaceSizeDiffers, .replaceSourceNewer, .replaceContentDiffers,
            .replaceUnproven, .merge, .updateAttributes, .keepSourceDamaged, .keepSourceEmpty, .keepByOption:
            false
        }
    }

    /// Whether it is a failure: the source's file looks damaged.
    public var isHeldBack: Bool { self == .keepSourceDamaged || self == .keepSourceEmpty }

    /// Whether it replaces what the target has.
    var replaces: Bool { transfersContent && self != .createFile }

    /// For people, in the itemised list.
    public var explanation: String {
        switch self {
        case .createFile, .createDirectory: "new"
        case .replaceSizeDiffers: "size differs"
        case .replaceSourceNewer: "source is newer"
        case .replaceContentDiffers: "content differs"
        case .replaceUnproven: "cannot be proven equal"
        case .merge: "merged with what the target has"
        case .updateAttributes: "time or mode differs"
        case .keepTargetNewer:
            "different, target is newer; left alone (--overwrite-newer or --checksum replaces it)"
        case .keepTargetChanged:
            "different, changed at the target since the last run; left alone (--overwrite-newer or --checksum "
                + "replaces it)"
        case .keepMetadata:
            "metadata differ; the target's are left alone (--metadata source or merge changes them)"
        case .keepSourceDamaged: "no JSON at the source; the target's good one is left alone"
        case .keepSourceEmpty:
            "empty at the source, and not at the target; left alone (--checksum empties it too)"
        case .keepByOption: "different; left alone as asked"
        case .keepKindDiffers: "a file on one side, a directory on the other; left alone"
        case .keepUnsupported: "different, and the target cannot change it"
        }
    }
}

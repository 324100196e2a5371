import ArgumentParser
import SyncEngine

/// How two files are found to differ. (`sync`, `diff`)
struct CompareOptions: ParsableArguments {
    @Flag(
        name: [.customShort("c"), .long],
        help:
            "Compare content by SHA-256, not time; replaces also what is newer at the target. Digests are remembered: a second run reads only what changed."
    )
    var checksum = false

    @Flag(help: "Compare sizes only.")
    var sizeOnly = false

    @Flag(name: [.customShort("u"), .long], help: "Leave files alone that are newer at the target.")
    var update = false

    @Flag(help: "Leave files alone that the target has already.")
    var ignoreExisting = false

    @Flag(help: "Replace also what is newer at the target, or was changed there since the last run.")
    var overwriteNewer = false

    @Option(
        help: ArgumentHelp(
            "What becomes of metadata that differ and are not older at the target, or were changed there since the last run. keep: told, and left alone; source: replaced; merge: by key, the source's values win.",
            valueName: "how"))
    var metadata = SyncOptions.Metadata.keep

    @Option(
        help: ArgumentHelp(
            "Times that differ by no more than this are equal. (default: 0)", valueName: "seconds"),
        transform: Transforms.seconds)
    var modifyWindow: Int64?

    mutating func validate() throws {
        if checksum && sizeOnly { throw ValidationError("--checksum and --size-only exclude each other") }
        if update && ignoreExisting {
            throw ValidationError("--update and --ignore-existing exclude each other")
        }
        if overwriteNewer && (update || ignoreExisting) {
            throw ValidationError("--overwrite-newer excludes --update and --ignore-existing")
        }
        if modifyWindow != nil && sizeOnly {
            throw ValidationError("--modify-window compares times, which --size-only does not look at")
        }
    }

    func apply(to options: inout SyncOptions) {
        if checksum { options.comparison = .checksum }
        if sizeOnly { options.comparison = .sizeOnly }
        if update { options.existing = .keepNewer }
        if ignoreExisting { options.existing = .keepAll }
        options.overwritesNewer = overwriteNewer
        options.metadata = metadata
        options.modifyWindowNanoseconds = modifyWindow ?? 0
    }
}

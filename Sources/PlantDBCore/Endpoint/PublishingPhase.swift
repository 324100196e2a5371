/// In which order the files of an update are put in place: readers see data before the metadata that
/// describes it, and both before the index that lists them.
package enum PublishingPhase: Hashable, Sendable, CaseIterable {
    case data, metadata, index

    package init(of path: ScanPath) {
        if path == .index {
            self = .index
        } else if path.isWithin(.metadata) {
            self = .metadata
        } else {
            self = .data
        }
    }
}

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

extension ScanManifest {
    /// Whether publishing would replace or remove data files of this scan, so that thumbnails of them are of
    /// no use any more.
    package func losesData(to staged: some Sequence<FileEntry>, _ removals: [ScanPath]) -> Bool {
        // Its directories are scans, whatever they are called.
        if scan.container == nil, position(of: .timelapseMarker) != nil { return false }
        func isData(_ path: ScanPath) -> Bool {
            PublishingPhase(of: path) == .data && entry(at: path)?.kind == .file
        }
        return removals.contains(where: isData) || staged.contains { isData($0.path) }
    }
}

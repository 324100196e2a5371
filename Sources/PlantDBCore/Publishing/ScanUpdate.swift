/// What an update does to a scan that is there, in its order: a pure value, which every store carries out
/// in its own way.
///
/// The order is one that readers can bear at every instant: directories, data, the metadata that
/// describe them, the index that lists them; then what goes.
package struct ScanUpdate: Sendable {
    /// A staged file, and what it replaces.
    package struct Placement: Sendable {
        package let path: ScanPath
        /// What is there now, and must be until the moment it is replaced; nil: nothing is.
        package let old: FileEntry?

        package init(path: ScanPath, old: FileEntry?) {
            self.path = path
            self.old = old
        }
    }

    /// Directories that are not there yet, those around others first.
    package let newDirectories: [FileEntry]
    /// By ``PublishingPhase``, in its order. None is empty.
    package let placements: [(phase: PublishingPhase, files: [Placement])]
    /// Files and directories whose times and modes are set.
    package let attributes: [FileEntry]
    /// Files that go.
    package let removals: [FileEntry]
    /// Directories that go where nothing is left in them, in the order that was asked for.
    package let removedDirectories: [ScanPath]
    /// Whether thumbnails of replaced or removed files may lie in the caches. They are named by a hash:
    /// whose they are cannot be told.
    package let removesCaches: Bool

    /// - Parameters:
    ///   - current: what the scan holds, by the names under which it is replaced
    ///     (``ScanManifest/respelled(_:)``).
    ///   - removals: of what it holds; what is staged stays, whatever other name it was asked by.
    package init(
        of current: ScanManifest, with staged: some Collection<FileEntry>, removals: [ScanPath],
        attributes: [FileEntry]
    ) {
        newDirectories = staged.filter { $0.kind == .directory && current.position(of: $0.path) == nil }
            .sorted { $0.path < $1.path }
        var files: [PublishingPhase: [Placement]] = [:]
        for entry in staged where entry.kind == .file {
            files[PublishingPhase(of: entry.path), default: []].append(
                Placement(path: entry.path, old: current.entry(at: entry.path)))
        }
        placements = PublishingPhase.allCases.compactMap { phase in
            files[phase].map { (phase, $0.sorted { $0.path < $1.path }) }
        }
        self.attributes = attributes
        let published = removals.isEmpty ? [] : Set(staged.map(\.path))
        let gone = removals.filter { !published.contains($0) }.compactMap { current.entry(at: $0) }
        self.removals = gone.filter { $0.kind == .file }
        removedDirectories = gone.filter { $0.kind == .directory }.map(\.path)
        removesCaches = current.losesData(to: staged, gone.map(\.path))
    }

    /// Every file that is replaced or goes, as it is now.
    package var superseded: [FileEntry] { placements.flatMap { $0.files.compactMap(\.old) } + removals }
}

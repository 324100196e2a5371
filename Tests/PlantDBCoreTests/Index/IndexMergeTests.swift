import PlantDBCore
import Testing

/// Rules 1 to 7 of what becomes of an index in a one-way run.
@Suite struct IndexMergeTests {
    private func index(_ text: String) throws -> FileIndex { try FileIndex(parsing: Array(text.utf8)) }

    private func fileset(_ id: String, _ files: String...) -> IndexedFileset {
        IndexedFileset(id: id, files: files.map { IndexedFile(id: $0, file: $0 + ".jpg") })
    }

    /// - Parameters:
    ///   - atTarget: paths that the target will have; those of both indexes by default.
    ///   - atSource: paths that the source has; those of its index by default.
    private func merged(
        _ source: FileIndex, _ target: FileIndex, atTarget: Set<String>? = nil, atSource: Set<String>? = nil,
        _ change: (inout IndexMerge) -> Void = { _ in }
    ) -> FileIndex {
        func paths(_ index: FileIndex) -> Set<String> {
            Set(index.filesets.flatMap { set in [set.id] + set.files.map { set.id + "/" + $0.file } })
        }
        let there = atTarget ?? paths(source).union(paths(target))
        let here = atSource ?? paths(source)
        var merge = IndexMerge(
            source: source, target: target, staysAtTarget: { there.contains($0) },
            isAtSource: { here.contains($0) })
        change(&merge)
        return merge.merged()
    }

    @Test("What a pipeline added at the target stays listed, fileset by fileset and file by file")
    func targetsOwn() throws {
        let source = FileIndex(filesets: [fileset("images", "1", "2")])
        let target = FileIndex(filesets: [fileset("Mesh", "m"), fileset("images", "1", "mask")])
        let result = merged(source, target)
        #expect(result.filesets.map(\.id) == ["images", "Mesh"])
        #expect(result.fileset("images")?.files.map(\.id) == ["1", "2", "mask"])
        // The second time it means the same as the target's: nothing is to be written.
        #expect(merged(source, result).meansTheSame(as: result))
    }

    @Test("An entry of both is the source's, with the keys that only the target has")
    func valueOfBoth() throws {
        let source = try index(
            #"{"filesets":[{"id":"f","files":[{"id":"a","file":"new.png","s":1}],"k":1}]}"#)
        let target = try index(
            #"{"filesets":[{"id":"f","files":[{"id":"a","file":"old.png","t":2}],"k":2,"mine":3}],"version":1}"#
        )
        let result = merged(source, target, atTarget: ["f", "f/new.png", "f/old.png"])
        #expect(
            result.json == [
                "filesets": [
                    [
                        "id": "f", "files": [["id": "a", "file": "new.png", "s": 1, "t": 2]], "k": 1,
                        "mine": 3,
                    ]
                ], "version": 1,
            ])
        let kept = merged(source, target, atTarget: ["f", "f/new.png", "f/old.png"]) { $0.common = .target }
        #expect(kept.fileset("f")?.file("a")?.file == "old.png")
    }

    @Test("An entry whose file did not come is not added; one that the source lacks itself is")
    func comesWithItsFile() throws {
        let source = FileIndex(filesets: [fileset("images", "held", "lost", "came")])
        let target = FileIndex(filesets: [fileset("images")])
        let result = merged(
            source, target, atTarget: ["images", "images/came.jpg"],
            atSource: ["images", "images/held.jpg", "images/came.jpg"])
        #expect(result.fileset("images")?.files.map(\.id) == ["lost", "came"])
        // A filter left the fileset out.
        let filtered = merged(source, FileIndex()) { $0.isSelected = { _ in false } }
        #expect(filtered.filesets.isEmpty)
    }

    @Test("What only the target lists goes with its file, and where a source's entry names that file")
    func goesWithItsFile() throws {
        let source = FileIndex(filesets: [
            IndexedFileset(id: "images", files: [IndexedFile(id: "renamed", file: "x.jpg")])
        ])
        let target = FileIndex(filesets: [
            fileset("images", "x", "y"), fileset("Gone", "g"), fileset("Empty"),
        ])
        let result = merged(source, target, atTarget: ["images", "images/x.jpg", "Empty"])
        #expect(result.fileset("images")?.files.map(\.id) == ["renamed"])
        #expect(result.filesets.map(\.id) == ["images", "Empty"])
    }

    @Test("--delete takes out what the source holds and does not list; without it that stays")
    func unlisted() throws {
        let source = FileIndex(filesets: [fileset("images", "1")])
        let target = FileIndex(filesets: [fileset("images", "1", "2")])
        let paths: Set<String> = ["images", "images/1.jpg", "images/2.jpg"]
        #expect(merged(source, target, atTarget: paths, atSource: paths).meansTheSame(as: target))
        let deleted = merged(source, target, atTarget: paths, atSource: paths) { $0.removesUnlisted = true }
        #expect(deleted.meansTheSame(as: source))
    }

    @Test("Of entries with one id the last counts, and neither order nor what is hidden is a difference")
    func duplicates() throws {
        let twice = try index(
            #"{"filesets":[{"id":"f","files":[{"id":"a","file":"1"},{"id":"a","file":"2"}]},{"id":"g","files":[]}]}"#
        )
        let once = try index(
            #"{"filesets":[{"id":"g","files":[]},{"id":"f","files":[{"id":"a","file":"2"}]}]}"#)
        #expect(twice.meansTheSame(as: once))
        #expect(!twice.meansTheSame(as: try index(#"{"filesets":[{"id":"g","files":[]}]}"#)))
        #expect(merged(twice, once).fileset("f")?.files.map(\.file) == ["2"])
    }

    @Test("What cannot be understood stays, once")
    func unusable() throws {
        let source = try index(#"{"filesets": [3, {"id": "new", "files": [7]}]}"#)
        let target = try index(#"{"filesets": [3, 7, {"id": "images", "files": [true]}]}"#)
        let result = merged(source, target)
        #expect(
            result.json["filesets"]
                == [3, ["id": "new", "files": [7]], 7, ["id": "images", "files": [true]]])
        #expect(merged(source, result).meansTheSame(as: result))
    }
}

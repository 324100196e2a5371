import PlantDBCore
import Testing

struct FileIndexTests {
    private func index(_ text: String) throws(DatabaseError) -> FileIndex {
        try FileIndex(parsing: Array(text.utf8))
    }

    private func fileset(_ id: String, _ files: String...) -> IndexedFileset {
        IndexedFileset(id: id, files: files.map { IndexedFile(id: $0, file: $0 + ".jpg") })
    }

    @Test func readsFilesetsAndFilesInTheirOrder() throws {
        let index = try index(
            #"{"filesets": [{"id": "images", "files": [{"id": "b", "file": "b.jpg"}, {"id": "a", "file": "a.jpg"}]}, {"files": [], "id": "Voxels"}]}"#
        )
        #expect(index.filesets.map(\.id) == ["images", "Voxels"])
        #expect(index.filesets[0].files.map(\.file) == ["b.jpg", "a.jpg"])
        #expect(index.flaws.isEmpty)
    }

    @Test func writesAsUpstreamDoes() throws {
        #expect(
            FileIndex(filesets: [fileset("images", "a")]).encoded()
                == Array(
                    """
                    {
                        "filesets": [
                            {
                                "files": [
                                    {
                                        "file": "a.jpg",
                                        "id": "a"
                                    }
                                ],
                                "id": "images"
                            }
                        ]
                    }
                    """.utf8))
        #expect(FileIndex().encoded() == Array("{\n    \"filesets\": []\n}".utf8))
    }

    @Test func whatIsNotUnderstoodSurvives() throws {
        let text = """
            {
                "filesets": [
                    {
                        "files": [
                            {
                                "file": "a.jpg",
                                "id": "a",
                                "sha": 1.50
                            },
                            {
                                "id": "no file"
                            },
                            7
                        ],
                        "id": "images",
                        "note": NaN
                    },
                    "nonsense",
                    {
                        "files": []
                    }
                ],
                "version": [
                    2
                ]
            }
            """
        var index = try index(text)
        #expect(String(decoding: index.encoded(), as: UTF8.self) == text)
        index.update(fileset("new"))
        index.remove(fileset: "new")
        #expect(String(decoding: index.encoded(), as: UTF8.self) == text)
        var images = try #require(index.fileset("images"))
        images.update(IndexedFile(id: "b", file: "b.jpg"))
        images.remove(file: "b")
        index.update(images)
        #expect(String(decoding: index.encoded(), as: UTF8.self) == text)
    }

    @Test(arguments: [
        "", "{}", "[]", "null", #"{"filesets": null}"#, #"{"filesets": {}}"#, "{\"filesets\": [",
    ])
    func refusesWhatIsNoIndex(_ text: String) {
        #expect(throws: DatabaseError(.invalidData, "")) { try index(text) }
    }

    @Test func namesEveryFlaw() throws {
        let index = try index(
            #"""
            {"filesets": [
                {"id": "images", "files": [
                    {"id": "a", "file": "a.jpg"}, {"id": "a", "file": "other.jpg"},
                    {"file": "x.jpg"}, {"id": "y"}, [],
                    {"id": "s", "file": "sub/s.jpg"}, {"id": "u", "file": "../u.jpg"}, {"id": "r", "file": "/etc/passwd"}
                ]},
                {"files": []}, {"id": "f"}, {"id": "g", "files": {}}, 3,
                {"id": "images", "files": []}, {"id": "..", "files": []}
            ]}
            """#)
        #expect(
            index.flaws.map(\.kind) == [
                .duplicateFile, .fileWithoutID, .fileWithoutName, .fileNotAnObject, .nameWithSubpath,
                .nameLeavesFileset, .nameLeavesFileset, .filesetWithoutID, .filesetWithoutFiles,
                .filesNotAList,
                .filesetNotAnObject, .duplicateFileset, .unsafeFilesetID,
            ])
        #expect(index.flaws[2].filesetPosition == 0)
        #expect(index.flaws[2].filePosition == 3)
        #expect(index.flaws[2].file == "y")
        // As upstream: the last of several counts.
        #expect(index.fileset("images")?.files.isEmpty == true)
        #expect(index.filesets[0].file("a")?.file == "other.jpg")
    }
}

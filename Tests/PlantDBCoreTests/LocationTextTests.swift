import PlantDBCore
import Testing

struct LocationTextTests {
    @Test(
        "What may be secret in a location is not shown",
        arguments: [
            ("/data/a:b@c", "/data/a:b@c"),
            ("ssh://me@host:22/db", "ssh://me@host:22/db"),
            ("ssh://me:se/cr@et@host/db", "ssh://me:…@host/db"),
            ("https://u:12/3@host", "https://u:…@host"),
            ("https://token@host/p", "https://…@host/p"),
            ("http://host/p?token=x", "http://host/p?…"),
            ("http://u:pw@host/#x@y", "http://u:…@host/#…"),
            ("http://host:5000/prefix", "http://host:5000/prefix"),
            ("joe:pw@host:/x", "joe:…@host:/x"),
        ])
    func secrets(_ location: String, _ shown: String) { #expect(location.withoutSecrets == shown) }

    @Test(
        "What looks like another machine is told from a path",
        arguments: [
            ("host:/x", true), ("joe@host:x", true), ("http:/host", true), ("/a:b", false), ("./a:b", false),
            ("plain", false), (":x", false),
        ])
    func machines(_ location: String, _ isOne: Bool) { #expect(location.looksLikeAnotherMachine == isOne) }

    @Test("Nobody gives away set-user-ID bits")
    func modes() throws {
        let entry = FileEntry(path: try ScanPath("bin/sh"), size: 1, mode: 0o6755)
        #expect(entry.mode == 0o755)
        #expect(try ScanManifest(scan: ScanID("a"), entries: [entry])[0].mode == 0o755)
    }
}

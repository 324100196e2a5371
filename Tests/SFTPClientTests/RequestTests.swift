import NIOCore
import Testing

@testable import SFTPClient

/// Requests as bytes, read back without the code under test.
@Suite struct RequestTests {
    private static let handle = RemoteHandle(bytes: Array("h1".utf8))
    private static let all = FileAttributes(
        size: 1 << 40, owner: .init(user: 1000, group: 1001), permissions: 0o100_640,
        times: .init(accessed: 1, modified: .max))
    private static let allText =
        "attributes(size 1099511627776 owner 1000:1001 mode 100640 times 1 4294967295 )"

    static let table: [(SFTPRequest, schema: String, expected: String)] = [
        (
            .open("/a b", [.write, .create, .exclusive], FileAttributes(permissions: 0o644)), "tua",
            "3 #7 '/a b' 42 attributes(mode 644 )"
        ),
        (.open("é", .read), "tua", "3 #7 'é' 1 attributes()"),
        (.open("t", [.append, .truncate], all), "tua", "3 #7 't' 20 " + allText),
        (.close(handle), "t", "4 #7 'h1'"),
        (.read(handle, offset: .max, length: .max), "tqu", "5 #7 'h1' 18446744073709551615 4294967295"),
        (
            .write(handle, offset: 1 << 32, ByteBuffer(string: "data")), "tqt",
            "6 #7 'h1' 4294967296 'data'"
        ),
        (.write(handle, offset: 0, ByteBuffer()), "tqt", "6 #7 'h1' 0 ''"),
        (.lstat("p"), "t", "7 #7 'p'"), (.stat("p"), "t", "17 #7 'p'"),
        (.fstat(handle), "t", "8 #7 'h1'"),
        (.setstat("p", all), "ta", "9 #7 'p' " + allText),
        (.fsetstat(handle, all), "ta", "10 #7 'h1' " + allText),
        (.openDirectory(""), "t", "11 #7 ''"), (.readDirectory(handle), "t", "12 #7 'h1'"),
        (.remove("p"), "t", "13 #7 'p'"),
        (.makeDirectory("p", FileAttributes(permissions: 0o700)), "ta", "14 #7 'p' attributes(mode 700 )"),
        (.removeDirectory("p"), "t", "15 #7 'p'"), (.realPath("."), "t", "16 #7 '.'"),
        (.rename("old", to: "new"), "tt", "18 #7 'old' 'new'"), (.readLink("p"), "t", "19 #7 'p'"),
        (
            .posixRename("old", to: "new"), "ttt",
            "200 #7 'posix-rename@openssh.com' 'old' 'new'"
        ),
        (.hardLink("old", to: "new"), "ttt", "200 #7 'hardlink@openssh.com' 'old' 'new'"),
        (.fsync(handle), "tt", "200 #7 'fsync@openssh.com' 'h1'"),
        (.statvfs("p"), "tt", "200 #7 'statvfs@openssh.com' 'p'"),
        (.lsetstat("p", all), "tta", "200 #7 'lsetstat@openssh.com' 'p' " + allText),
        (
            .copyData(handle, offset: 1, length: 2, to: RemoteHandle(bytes: [0x32]), toOffset: 3), "ttqqtq",
            "200 #7 'copy-data' 'h1' 1 2 '2' 3"
        ),
        (.limits, "t", "200 #7 'limits@openssh.com'"),
    ]

    @Test("Every request has the bytes of the draft", arguments: 0..<table.count)
    func bytes(_ index: Int) throws {
        let (request, schema, expected) = Self.table[index]
        // Behind something else, as in a session's buffer.
        var buffer = ByteBuffer(bytes: [1, 2, 3])
        request.write(to: &buffer, id: 7)
        #expect(try WireParser.read(Array(buffer.readableBytesView.dropFirst(3)), schema) == expected)
    }

    @Test("A number that still waits for its answer is not given again") func numbers() {
        var table = RequestTable<Int>()
        let first = table.add(.limits, 1)
        var seen: Set<UInt32> = [first]
        for index in 2..<1000 { #expect(seen.insert(table.add(.limits, index)).inserted) }
        #expect(table.take(first)?.handler == 1 && table.take(first) == nil && table.count == 998)
        #expect(table.takeAll().count == 998 && table.isEmpty)
    }

    @Test("Paths are joined and cut by slashes, whatever bytes they are") func paths() {
        #expect(RemotePath("a").appending("b") == "a/b" && RemotePath("/").appending("b") == "/b")
        #expect(RemotePath("").appending("b") == "b" && RemotePath("a/").appending("b") == "a/b")
        #expect(
            RemotePath("a/b").parent == "a" && RemotePath("/a").parent == "/" && RemotePath("a").parent == "."
        )
        #expect(RemotePath(bytes: [0xff]).appending(bytes: [0xfe]).bytes == [0xff, 0x2f, 0xfe])
    }
}

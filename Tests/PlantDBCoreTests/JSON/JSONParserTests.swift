import PlantDBCore
import Testing

struct JSONParserTests {
    private func parse(_ text: String) throws(DatabaseError) -> JSONValue {
        try JSONValue(parsing: text.utf8)
    }

    private func failure(_ bytes: some Collection<UInt8>) -> DatabaseError? {
        do throws(DatabaseError) {
            _ = try JSONValue(parsing: bytes)
            return nil
        } catch { return error }
    }

    @Test func readsEveryKindOfValue() throws {
        let value = try parse(
            #" {"a": [1, -2.50e+3, true, false, null], "b": {"c": "d"}, "e": {}, "f": []} "#)
        #expect(
            value == [
                "a": [1, .number("-2.50e+3"), true, false, .null], "b": ["c": "d"], "e": [:], "f": [],
            ])
    }

    @Test func keepsSpellingsOfNumbersAndTheOrderOfKeys() throws {
        let value = try parse(#"{"z": 1.0E5, "a": NaN, "m": -Infinity, "k": [Infinity, -0, 1e400]}"#)
        #expect(value.object?.keys == ["z", "a", "m", "k"])
        #expect(value["z"] == .number("1.0E5"))
        #expect(value["a"] == .number("NaN"))
        #expect(value["m"]?.double == -.infinity)
        #expect(value["k"] == [.number("Infinity"), .number("-0"), .number("1e400")])
    }

    @Test func theLastOfTwoEqualKeysWinsAtThePlaceOfTheFirst() throws {
        let value = try parse(#"{"a": 1, "b": 2, "a": 3}"#)
        #expect(value.object?.keys == ["a", "b"])
        #expect(value["a"] == 3)
    }

    @Test func keysThatDifferOnlyInUnicodeSpellingAreTwo() throws {
        let value = try parse("{\"\u{e9}\": 1, \"e\u{301}\": 2}")
        #expect(value.object?.count == 2)
        #expect(value["\u{e9}"] == 1)
        #expect(value["e\u{301}"] == 2)
        #expect(JSONValue.string("\u{e9}") != .string("e\u{301}"))
    }

    @Test func readsEscapes() throws {
        let value = try parse(#""\"\\\/\b\f\n\r\tA\u00e9\ud83c\udf31 plant \u0000""#)
        #expect(value == .string("\"\\/\u{8}\u{c}\n\r\tA\u{e9}\u{1f331} plant \u{0}"))
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1", "[1,", "[1,]", "{,}", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{a:1}",
        "nul",
        "tru", "01", "1.", ".5", "-", "+1", "1e", "1e+", "--1", "NaNN", "-NaN", "Inf", "\"a", "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "\"\t\"", "1 2", "[] []", "'a'", "// a\n1", "\u{feff}{}",
        "\u{a0}1",
    ])
    func refuses(_ text: String) {
        #expect(failure(Array(text.utf8))?.code == .invalidData)
    }

    @Test("Half a surrogate pair, which Python reads and writes, comes out as it went in")
    func carriesHalvesOfSurrogatePairs() throws {
        for text in [
            #""\ud800""#, #""\udc00\udfff""#, #""\ud83dA""#, #""\ud83d\ud83d\ude00""#, #""é\uDBFF.jpg""#,
            #"{"\udcff": "\u00e9"}"#,
        ] {
            let value = try parse(text)
            #expect(try parse(value.pythonText()) == value, "\(text)")
            let folded = value.pythonText(indent: 0).filter { !$0.isWhitespace }.lowercased()
            #expect(
                folded == text.replacing("é", with: #"\u00e9"#).filter { !$0.isWhitespace }.lowercased())
        }
        #expect(try parse(#""\ud83d""#) != parse(#""\ude00""#))
        #expect(try parse(#""\ud83d""#).string?.printable == #"\ud83d"#)
        // The characters that stand for them cannot be told from them.
        #expect(failure(Array("\"\u{10d83d}\"".utf8))?.code == .invalidData)
        #expect(failure(Array(#""\udbf6\udc3d""#.utf8))?.code == .invalidData)
        #expect(failure(Array("\"\u{10d7ff}\u{10e000}\"".utf8)) == nil)
    }

    @Test func refusesWhatIsNotUTF8() {
        #expect(failure([0x22, 0xff, 0x22])?.code == .invalidData)
        #expect(failure([0x22, 0xed, 0xa0, 0x80, 0x22])?.code == .invalidData)
        #expect(failure([0x22, 0xc3, 0x22])?.code == .invalidData)
        #expect(failure([0xff, 0xfe, 0x7b, 0x00])?.code == .invalidData)
    }

    @Test func saysWhereItIsWrong() {
        #expect(
            failure(Array("{\n    \"é\": 1,\n    \"b\": oops\n}".utf8))?.message.contains("line 3, column 10")
                == true)
        #expect(failure(Array("[\"é\" 2]".utf8))?.message.contains("line 1, column 6") == true)
    }

    @Test func depthIsLimitedAndNeverCrashes() throws {
        let deepest = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
        #expect(try parse(deepest).pythonText().isEmpty == false)
        #expect(failure(Array("[\(deepest)]".utf8))?.code == .invalidData)
        #expect(failure(Array(repeating: UInt8(ascii: "["), count: 1 << 20))?.code == .invalidData)
        let objects = String(repeating: "{\"a\":", count: 1 << 18)
        #expect(failure(Array(objects.utf8))?.code == .invalidData)
        // Beside each other is not inside each other.
        #expect(
            try parse("[" + Array(repeating: "[[]]", count: 2000).joined(separator: ",") + "]").array?.count
                == 2000)
    }

    @Test func everyTruncationIsAnErrorAndNeverACrash() {
        let bytes = Array(#"{"a": ["é\u00e9\ud83c\udf31", -1.5e-7, null, {"b": true}], "c": "\\"}"#.utf8)
        #expect(failure(bytes) == nil)
        for count in 0..<bytes.count {
            #expect(failure(bytes[..<count])?.code == .invalidData, "cut to \(count) bytes")
        }
    }

    @Test func findsMetadataByDottedKeys() throws {
        let metadata = try parse(
            #"""
            {"object": {"species": "Arabidopsis", "age": 3.50, "dead": false, "tag": null, "list": [1]},
             "a.b": {"c": "dotted"}, "a": {"b": "plain"}}
            """#)
        #expect(metadata.metadataValue(atDottedKey: "object.species") == "Arabidopsis")
        #expect(metadata.metadataValue(atDottedKey: "object.age") == "3.50")
        #expect(metadata.metadataValue(atDottedKey: "object.dead") == "false")
        #expect(metadata.metadataValue(atDottedKey: "object.tag") == "null")
        #expect(metadata.metadataValue(atDottedKey: "object.list") == nil)
        #expect(metadata.metadataValue(atDottedKey: "object") == nil)
        #expect(metadata.metadataValue(atDottedKey: "object.none") == nil)
        #expect(metadata.metadataValue(atDottedKey: "object.species.more") == nil)
        #expect(metadata.metadataValue(atDottedKey: "a.b.c") == "dotted")
        #expect(metadata.metadataValue(atDottedKey: "") == nil)
        #expect(metadata.metadataValue(atDottedKey: "..") == nil)
    }

    @Test func objectsLargeAndSmallBehaveAlike() {
        for count in [1, 7, 8, 9, 10, 100] {
            var object = JSONObject()
            for index in 0..<count { object["key\(index)"] = .number(index) }
            #expect(object.count == count)
            object["key0"] = "changed"
            #expect(object["key0"] == "changed")
            #expect(object["none"] == nil)
            object["key\(count / 2)"] = nil
            #expect(object.count == count - 1)
            #expect(object["key\(count / 2)"] == nil)
            #expect(count < 3 || object["key\(count - 1)"] == .number(count - 1))
            let reversed = JSONObject(object.members.reversed().map { ($0.key, $0.value) })
            #expect(reversed == object)
            #expect(reversed.hashValue == object.hashValue)
        }
    }
}

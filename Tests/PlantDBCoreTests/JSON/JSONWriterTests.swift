import PlantDBCore
import Testing

struct JSONWriterTests {
    @Test func writesAsUpstreamDoes() throws {
        let value: JSONValue = [
            "filesets": [
                ["id": "images", "files": [["id": "00000_rgb", "file": "00000_rgb.jpg"]]],
                ["id": "e", "files": []],
            ],
            "Zebra": [:], "é": "\u{1f331} ü \"quoted\" \\ / \u{7f}\u{0}\n", "n": .number("1.50"),
            "nan": .number(Double.nan), "deep": [[], [[]], .null, true],
        ]
        #expect(
            value.pythonText() == #"""
                {
                    "Zebra": {},
                    "deep": [
                        [],
                        [
                            []
                        ],
                        null,
                        true
                    ],
                    "filesets": [
                        {
                            "files": [
                                {
                                    "file": "00000_rgb.jpg",
                                    "id": "00000_rgb"
                                }
                            ],
                            "id": "images"
                        },
                        {
                            "files": [],
                            "id": "e"
                        }
                    ],
                    "n": 1.50,
                    "nan": NaN,
                    "\u00e9": "\ud83c\udf31 \u00fc \"quoted\" \\ / \u007f\u0000\n"
                }
                """#)
    }

    @Test func keysAreSortedByCodePointNotByUTF16() throws {
        // U+FFFD stands before U+10000, though the surrogates of the latter are smaller.
        let value: JSONValue = ["\u{10000}": 1, "\u{fffd}": 2, "b": 3, "B": 4, "": 5]
        #expect(
            value.pythonText(indent: 0)
                == "{\n\"\": 5,\n\"B\": 4,\n\"b\": 3,\n\"\\ufffd\": 2,\n\"\\ud800\\udc00\": 1\n}")
    }

    @Test func canKeepTheOrderOfInsertion() throws {
        let value: JSONValue = ["scans": ["b", "a"], "id": "TL"]
        #expect(
            value.pythonText(sortedKeys: false, indent: 2)
                == "{\n  \"scans\": [\n    \"b\",\n    \"a\"\n  ],\n  \"id\": \"TL\"\n}")
    }

    @Test(arguments: [
        (0.0, "0.0"), (-0.0, "-0.0"), (1, "1.0"), (-2.5, "-2.5"), (0.1, "0.1"), (1e-4, "0.0001"),
        (1e-5, "1e-05"),
        (1.5e-7, "1.5e-07"), (1e15, "1000000000000000.0"), (123.456, "123.456"),
        (9_570_266_442_640_802, "9570266442640802.0"), (9_999_999_999_999_998, "9999999999999998.0"),
        (-0.00123, "-0.00123"),
        (1e16, "1e+16"), (1.5e16, "1.5e+16"),
        (12_345_678_901_234_567, "1.2345678901234568e+16"), (17_179_869_184_000_000, "1.7179869184e+16"),
        (1e22, "1e+22"), (1e100, "1e+100"), (5e-324, "5e-324"),
        (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
        (-1e16, "-1e+16"), (.infinity, "Infinity"), (-.infinity, "-Infinity"),
    ])
    func spellsNumbersAsPython(_ number: Double, _ spelling: String) {
        #expect(JSONValue.number(number) == .number(spelling))
    }

    @Test func whatIsReadAndWrittenAgainIsTheSame() throws {
        let text = """
            {
                "a": [
                    1e400,
                    -0,
                    0.10
                ],
                "b": "\\ud83c\\udf31"
            }
            """
        #expect(try JSONValue(parsing: text.utf8).pythonText() == text)
    }
}

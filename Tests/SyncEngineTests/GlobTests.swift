import Glibc
import PlantDBTesting
import SyncEngine
import Testing

@Suite struct GlobTests {
    @Test(
        "Patterns match as the shell's do",
        arguments: [
            ("*", "plant", true), ("*", "", true), ("plant_*", "plant_1", true), ("plant_*", "plan", false),
            ("plant_?", "plant_1", true), ("plant_?", "plant_12", false), ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false), ("[!a-c]x", "dx", true), ("[]x]", "]", true), ("a\\*", "a*", true),
            ("a\\*", "ab", false), ("*", "growth/day", false), ("growth/*", "growth/day", true),
            ("*a*b*c", "xaybzc", true), ("*a*b*c", "xaybz", false), ("", "", true), ("", "a", false),
            ("é?", "éx", true), ("?", "植", true), ("[", "[", true), ("A*", "a1", false),
        ])
    func examples(pattern: String, name: String, isMatch: Bool) {
        #expect(Glob(pattern).matches(name) == isMatch)
    }

    @Test("A name is a pattern only if it holds one of * ? [ \\")
    func isPattern() {
        #expect(!Glob("plant_1").isPattern)
        for pattern in ["a*", "a?", "[a]", "a\\b"] { #expect(Glob(pattern).isPattern) }
    }

    @Test("20,000 random patterns match what fnmatch(3) matches")
    func againstFnmatch() {
        let atoms = [
            "a", "b", "c", "-", "*", "*", "?", "/", ".", "[ab]", "[!a]", "[a-b]", "[^b-c]", "[]a]", "[a-]",
            "\\*", "\\a",
        ]
        let letters = ["a", "b", "c", "-", "/", ".", "*", "]"]
        var failures = 0
        for seed in TestSeed.rounds(20_000) {
            var generator = seed.generator
            let pattern = (0..<Int.random(in: 0...6, using: &generator))
                .map { _ in atoms.randomElement(using: &generator) ?? "" }.joined()
            let name = (0..<Int.random(in: 0...6, using: &generator))
                .map { _ in letters.randomElement(using: &generator) ?? "" }.joined()
            let expected = fnmatch(pattern, name, FNM_PATHNAME) == 0
            if Glob(pattern).matches(name) != expected {
                Issue.record("\(seed): “\(pattern)” and “\(name)”: fnmatch says \(expected)")
                failures += 1
                if failures == 5 { return }
            }
        }
    }

    @Test("A pattern of many stars takes no exponential time")
    func hostilePattern() {
        let pattern = String(repeating: "*a", count: 40) + "b"
        #expect(!Glob(pattern).matches(String(repeating: "a", count: 200)))
    }
}

import PlantDBCore
import Testing

@Suite struct TargetNamesTests {
    @Test func whatFATDoesNotTake() {
        for name in ["2023:12:25.jpg", "a/b?", "x.", "x ", "a*b/c", "<x>", "a|b", "\"x\""] {
            #expect(TargetNames.holdsUncommon(name), "\(name)")
        }
        for name in ["images/00000_rgb.jpg", ".hidden", "a b", "näme", "a'b", "x.y.z"] {
            #expect(!TargetNames.holdsUncommon(name), "\(name)")
        }
    }

    @Test func anotherSpellingIsFoundOnlyWhereTheNameItselfIsNot() throws {
        let names = ["Plant", "other", "ZU\u{308}RICH"]
        #expect(TargetNames.otherSpelling(of: "plant", among: names) == "Plant")
        #expect(TargetNames.otherSpelling(of: "Plant", among: names) == nil)
        #expect(TargetNames.otherSpelling(of: "z\u{fc}rich", among: names) == "ZU\u{308}RICH")
        #expect(TargetNames.otherSpelling(of: "none", among: names) == nil)
        let scan = try ScanID("plant")
        #expect(DatabaseError.nameIsTaken(scan, among: names).message.contains("rename one"))
        #expect(
            DatabaseError.nameIsTaken(scan, among: ["plant"]).message.contains("run the same command again"))
    }
}

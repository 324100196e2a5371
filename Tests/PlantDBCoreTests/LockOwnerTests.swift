import Glibc
import PlantDBCore
import Testing

/// Of a lock that nobody holds by flock(2), as over SFTP: who may be taken for dead.
@Suite struct LockOwnerTests {
    private func owner(_ changes: (inout JSONObject) -> Void) throws -> LockOwner {
        let encoded = LockOwner.current(mode: .exclusive, holdsFlock: false).encoded()
        var object = try #require(try JSONValue(parsing: encoded).object)
        changes(&object)
        return try #require(LockOwner(parsing: JSONValue.object(object).pythonBytes()))
    }

    @Test("A container's name is its own, but its boot is its machine's")
    func containers() throws {
        func container(_ object: inout JSONObject) {
            (object["host"], object["machine"]) = ("c0ffee000001", "0123456789abcdef0123456789abcdef")
        }
        let living = try owner(container)
        #expect(living.isOfThisMachine && !living.isProvenDead)
        let dead = try owner {
            container(&$0)
            $0["began"] = 1
        }
        #expect(dead.isProvenDead)
        // Its process number counts among processes that are not seen from here.
        let elsewhere = try owner {
            container(&$0)
            ($0["began"], $0["processNamespace"]) = (1, "pid:[1]")
        }
        #expect(elsewhere.isOfThisMachine && !elsewhere.isProvenDead)
    }

    @Test("Another boot of the same names is this machine, dead; other names, another machine")
    func boots() throws {
        let earlier = try owner { $0["boot"] = "00000000-0000-0000-0000-000000000000" }
        #expect(earlier.isOfThisMachine && earlier.isProvenDead)
        let other = try owner { ($0["boot"], $0["host"]) = ("00000000-0000-0000-0000-000000000000", "other") }
        #expect(!other.isOfThisMachine && !other.isProvenDead)
    }
}

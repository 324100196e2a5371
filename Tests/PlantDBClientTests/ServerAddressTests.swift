import PlantDBClient
import PlantDBCore
import Testing

@Suite struct ServerAddressTests {
    @Test(
        "Addresses as people write them",
        arguments: [
            ("http://localhost:5014/api/", "http://localhost:5014/api"),
            ("http://lab", "http://lab:80"), ("https://Lab.Example.org/", "https://lab.example.org:443"),
            ("http://[::1]:5000", "http://[::1]:5000"), ("https://[fe80::1]/p", "https://[fe80::1]:443/p"),
            ("HTTP://127.0.0.1:", "http://127.0.0.1:80"),
        ])
    func valid(_ text: String, _ shown: String) throws {
        #expect(try ServerAddress(text).description == shown)
    }

    @Test(
        "What is no address is refused, and its password is not repeated",
        arguments: [
            "lab:5000", "ftp://lab", "http://", "http://user:hunter2@lab", "http://lab:0", "http://lab:99999",
            "http://lab:5x", "http://[::1", "http://-lab", "http://la b", "http://lab/../x", "http://lab/?q",
            "http://lab/#f", "http://lab/\u{1b}[31m",
        ])
    func invalid(_ text: String) {
        let error = #expect(throws: DatabaseError.self) { try ServerAddress(text) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.description.contains("hunter2") == false)
    }

    @Test("What only begins like this machine's own address is another machine")
    func loopback() throws {
        for own in ["localhost", "127.0.0.1", "127.9.8.7", "[::1]"] {
            #expect(try ServerAddress("http://\(own):5000").isLoopback, "\(own)")
        }
        for other in ["127.0.evil.com", "127.0.0.256", "127.0.0", "127.0.0.1.evil.com", "1.2.3.4", "lab"] {
            var access = HTTPAccess(try ServerAddress("http://\(other):5000"))
            access.token = BearerToken("canary-0123456789")
            #expect(throws: DatabaseError.self, "\(other)") { try HTTPTransport(access) }
        }
    }

    @Test("A token does not cross the network unencrypted unless that is asked for")
    func tokens() throws {
        var access = HTTPAccess(try ServerAddress("http://lab:5000"))
        access.token = BearerToken("canary-0123456789")
        #expect(throws: DatabaseError.self) { try HTTPTransport(access) }
        access.sendsTokenUnencrypted = true
        _ = try HTTPTransport(access)
        var dumped = ""
        dump(access, to: &dumped)
        #expect(!dumped.contains("canary") && !"\(access)".contains("canary"))
    }
}

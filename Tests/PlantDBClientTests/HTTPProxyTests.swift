import PlantDBCore
import Testing

@testable import PlantDBClient

@Suite struct HTTPProxyTests {
    private func proxy(_ url: String, _ environment: [String: String]) throws -> String? {
        try HTTPProxy(for: ServerAddress(url), in: environment).map {
            $0.isUsed ? "\($0.isSOCKS ? "socks:" : "")\($0.host):\($0.port)" : "unused"
        }
    }

    @Test func isReadAsCurlReadsIt() throws {
        let all = [
            "http_proxy": "http://web:3128", "HTTPS_PROXY": "secure:8080",
            "no_proxy": "lab.example, .intern,10.0.0.7",
        ]
        #expect(try proxy("http://plants.example", all) == "unused")
        #expect(try proxy("https://plants.example", all) == "secure:8080")
        for near in [
            "http://lab.example", "https://db.lab.example:5000", "http://a.intern", "http://10.0.0.7:5000",
        ] {
            #expect(try proxy(near, all) == nil, "\(near)")
        }
        #expect(try proxy("https://notlab.example", all) == "secure:8080")
        for own in ["http://localhost:5000", "http://127.0.0.1", "https://[::1]:5000"] {
            #expect(try proxy(own, all) == nil, "\(own)")
        }
        #expect(try proxy("http://a", ["HTTP_PROXY": "http://web:3128"]) == nil)
        #expect(try proxy("http://a", ["all_proxy": "socks5h://gate"]) == "socks:gate:1080")
        #expect(try proxy("http://a", ["http_proxy": "http://web:1", "NO_PROXY": "*"]) == nil)
        #expect(try proxy("https://a:81", ["https_proxy": "http://web:1", "NO_PROXY": "a:80"]) == "web:1")
        #expect(try proxy("http://a", ["http_proxy": ""]) == nil)
    }

    @Test(arguments: [
        "ftp://web:3128", "http://me:geheim@", "http://me:geheim@web:x", "http://ge%zzheim@web:1",
    ])
    func whatIsNoProxyIsRefused(_ value: String) {
        let error = #expect(throws: DatabaseError.self) { _ = try proxy("https://a", ["https_proxy": value]) }
        #expect(error?.code == .invalidArgument && error?.message.contains("geheim") == false)
    }
}

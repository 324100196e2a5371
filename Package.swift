// swift-tools-version: 6.2
import PackageDescription

// Imports point down only; see docs/decisions/0001-modules.md.
let package = Package(
    name: "plantdb-swift",
    products: [
        .library(name: "PlantDBCore", targets: ["PlantDBCore"]),
        .library(name: "FSDB", targets: ["FSDB"]),
        .library(name: "SyncEngine", targets: ["SyncEngine"]),
        .library(name: "DatabaseCheck", targets: ["DatabaseCheck"]),
        .library(name: "SFTPClient", targets: ["SFTPClient"]),
        .library(name: "ZipStream", targets: ["ZipStream"]),
        .library(name: "PlantDBClient", targets: ["PlantDBClient"]),
        .library(name: "PlantDBServer", targets: ["PlantDBServer"]),
        .library(name: "PlantDBSync", targets: ["PlantDBSync"]),
        .library(name: "SyncHistory", targets: ["SyncHistory"]),
        .library(name: "PlantDBConfiguration", targets: ["PlantDBConfiguration"]),
        .library(name: "TestDatabases", targets: ["TestDatabases"]),
        .library(name: "PlantDBTesting", targets: ["PlantDBTesting"]),
        .executable(name: "plantdb", targets: ["plantdb"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", exact: "0.6.0"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", exact: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    targets: [
        .target(
            name: "PlantDBCore",
            dependencies: ["CZlib", .product(name: "NIOCore", package: "swift-nio")]
        ),
        // What `import Glibc` hides behind _GNU_SOURCE or variadic C.
        .target(name: "CPlatform"),
        .target(
            name: "FSDB",
            dependencies: [
                "PlantDBCore", "CPlatform",
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
        // Knows no PlantDB.
        .target(
            name: "SFTPClient",
            dependencies: [
                "CPlatform",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        .target(name: "SyncEngine", dependencies: ["PlantDBCore"]),
        .target(
            name: "PlantDBSFTP",
            dependencies: [
                "PlantDBCore", "SFTPClient",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Crypto", package: "swift-crypto"),
            ]
        ),
        // ZIP archives as streams. Knows no PlantDB.
        .target(
            name: "ZipStream",
            dependencies: ["CZlib", .product(name: "NIOCore", package: "swift-nio")]
        ),
        // zlib: CRC-32, DEFLATE.
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        // What a plantdb and a plantdb serve say to one another: frames and messages, no connection.
        .target(
            name: "PlantDBWire",
            dependencies: [
                "PlantDBCore", "CPlatform",
                .product(name: "NIOCore", package: "swift-nio"),
            ]
        ),
        .target(
            name: "PlantDBClient",
            dependencies: [
                "PlantDBCore", "PlantDBWire", "ZipStream",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]
        ),
        .target(
            name: "PlantDBServer",
            dependencies: [
                "PlantDBCore", "PlantDBWire", "ServedHTTP", "ZipStream", "CArgon2", "CCrypt",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        // What our HTTP servers take on: deadlines, rates, how many at once. Knows no database.
        .target(
            name: "ServedHTTP",
            dependencies: [
                "PlantDBWire",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
            ]
        ),
        // The passwords of PlantDB's accounts: Argon2id, and bcrypt by crypt(3).
        .systemLibrary(name: "CArgon2", providers: [.apt(["libargon2-dev"])]),
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .target(name: "DatabaseCheck", dependencies: ["PlantDBCore"]),
        .target(
            name: "PlantDBSync",
            dependencies: [
                "PlantDBCore", "FSDB", "SyncEngine", "SFTPClient", "PlantDBSFTP", "PlantDBClient",
            ]
        ),
        // The page is in the binary, so that it is one file to install.
        .target(
            name: "SyncApp",
            dependencies: [
                "PlantDBCore", "SyncEngine", "SyncHistory", "PlantDBSync", "SFTPClient", "PlantDBClient",
                "ServedHTTP",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            resources: [
                .embedInCode("Page/index.html"), .embedInCode("Page/app.css"), .embedInCode("Page/app.js"),
                .embedInCode("Page/icon.svg"),
            ]
        ),
        // Which runs there were, and their reports.
        .target(
            name: "SyncHistory",
            dependencies: [
                "PlantDBCore", "SyncEngine", .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
        // What a user keeps about databases: their names, and how each is reached.
        .target(
            name: "PlantDBConfiguration",
            dependencies: ["PlantDBCore", .product(name: "TOMLKit", package: "TOMLKit")]
        ),
        .systemLibrary(
            name: "CLibArchive",
            pkgConfig: "libarchive",
            providers: [.apt(["libarchive-dev"])]
        ),
        .target(
            name: "TestDatabases",
            dependencies: [
                "PlantDBCore", "FSDB", "CLibArchive",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
            ]
        ),
        .target(
            name: "PlantDBTesting",
            dependencies: [
                "PlantDBCore", "FSDB", "SyncEngine", "PlantDBClient", "PlantDBSync", "PlantDBServer",
                "TestDatabases",
            ]
        ),
        .executableTarget(
            name: "plantdb",
            dependencies: [
                "CPlatform", "PlantDBSync", "PlantDBConfiguration", "DatabaseCheck", "FSDB", "SFTPClient",
                "PlantDBClient", "PlantDBServer", "SyncApp", "SyncHistory", "TestDatabases",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),
        // Times plantdb against its peers; `make bench`.
        .executableTarget(name: "plantdb-bench"),
        // docs/using-from-code.md shows these.
        .executableTarget(
            name: "LocalToLocal", dependencies: ["PlantDBSync"], path: "Examples/LocalToLocal"),
        .executableTarget(
            name: "InstanceToLocal", dependencies: ["PlantDBSync", "FSDB"], path: "Examples/InstanceToLocal"),
        .executableTarget(
            name: "LocalToServer", dependencies: ["PlantDBSync", "PlantDBClient"],
            path: "Examples/LocalToServer"),
        .executableTarget(name: "SSHToLocal", dependencies: ["PlantDBSync"], path: "Examples/SSHToLocal"),
        .testTarget(name: "PlantDBCoreTests", dependencies: ["PlantDBCore"]),
        .testTarget(name: "PlantDBWireTests", dependencies: ["PlantDBWire", "PlantDBTesting"]),
        .testTarget(name: "PlantDBClientTests", dependencies: ["PlantDBClient", "PlantDBTesting"]),
        .testTarget(
            name: "PlantDBServerTests",
            dependencies: [
                "PlantDBServer", "PlantDBClient", "PlantDBTesting", "ServedHTTP", "ZipStream",
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
            ]),
        .testTarget(name: "ZipStreamTests", dependencies: ["ZipStream", "PlantDBTesting"]),
        .testTarget(name: "SFTPClientTests", dependencies: ["SFTPClient", "PlantDBTesting"]),
        .testTarget(
            name: "PlantDBSFTPTests",
            dependencies: ["PlantDBSFTP", "SFTPClient", "PlantDBSync", "PlantDBTesting"]),
        .testTarget(
            name: "PlantDBSyncTests", dependencies: ["PlantDBSync", "PlantDBClient", "PlantDBTesting"]),
        .testTarget(
            name: "SyncAppTests",
            dependencies: [
                "SyncApp", "SyncHistory", "plantdb", "PlantDBTesting",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ], exclude: ["Browser"]),
        .testTarget(name: "FSDBTests", dependencies: ["FSDB", "PlantDBTesting"]),
        .testTarget(name: "SyncEngineTests", dependencies: ["SyncEngine", "PlantDBTesting"]),
        .testTarget(
            name: "PlantDBConfigurationTests", dependencies: ["PlantDBConfiguration", "PlantDBTesting"]),
        .testTarget(name: "SyncHistoryTests", dependencies: ["SyncHistory", "PlantDBTesting"]),
        .testTarget(name: "DatabaseCheckTests", dependencies: ["DatabaseCheck", "PlantDBTesting"]),
        .testTarget(name: "TestDatabasesTests", dependencies: ["TestDatabases", "PlantDBTesting"]),
        .testTarget(
            name: "ExampleTests",
            dependencies: [
                "LocalToLocal", "InstanceToLocal", "LocalToServer", "SSHToLocal", "plantdb", "PlantDBTesting",
            ]),
        // Against PlantDB's own servers, which they install.
        .testTarget(
            name: "InteropTests",
            dependencies: [
                "PlantDBClient", "PlantDBSync", "SyncEngine", "FSDB", "ZipStream", "PlantDBTesting",
                .product(name: "NIOCore", package: "swift-nio"),
            ], exclude: ["Clients"]),
        // These run the built command as its users do.
        .testTarget(
            name: "CommandTests", dependencies: ["plantdb", "PlantDBTesting"], exclude: ["Golden"]),
        .testTarget(name: "FaultTests", dependencies: ["plantdb", "PlantDBTesting"]),
        .testTarget(
            name: "UpstreamTests", dependencies: ["plantdb", "PlantDBTesting"], exclude: ["Scripts"]),
    ],
    swiftLanguageModes: [.v6]
)

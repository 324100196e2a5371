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
        .library(name: "PlantDBSync", targets: ["PlantDBSync"]),
        .library(name: "TestDatabases", targets: ["TestDatabases"]),
        .library(name: "PlantDBTesting", targets: ["PlantDBTesting"]),
        .executable(name: "plantdb", targets: ["plantdb"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
    ],
    targets: [
        .target(
            name: "PlantDBCore",
            dependencies: [.product(name: "NIOCore", package: "swift-nio")]
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
        .target(name: "DatabaseCheck", dependencies: ["PlantDBCore"]),
        .target(
            name: "PlantDBSync",
            dependencies: ["PlantDBCore", "FSDB", "SyncEngine", "SFTPClient", "PlantDBSFTP"]
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
            dependencies: ["PlantDBCore", "FSDB", "SyncEngine", "PlantDBSync", "TestDatabases"]
        ),
        .executableTarget(
            name: "plantdb",
            dependencies: [
                "PlantDBSync", "DatabaseCheck", "SFTPClient", "TestDatabases",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),
        // Times plantdb against its peers; `make bench`.
        .executableTarget(name: "plantdb-bench"),
        .testTarget(name: "PlantDBCoreTests", dependencies: ["PlantDBCore"]),
        .testTarget(name: "SFTPClientTests", dependencies: ["SFTPClient", "PlantDBTesting"]),
        .testTarget(
            name: "PlantDBSFTPTests",
            dependencies: ["PlantDBSFTP", "SFTPClient", "PlantDBSync", "PlantDBTesting"]),
        .testTarget(name: "FSDBTests", dependencies: ["FSDB", "PlantDBTesting"]),
        .testTarget(name: "SyncEngineTests", dependencies: ["SyncEngine", "PlantDBTesting"]),
        .testTarget(name: "DatabaseCheckTests", dependencies: ["DatabaseCheck", "PlantDBTesting"]),
        .testTarget(name: "TestDatabasesTests", dependencies: ["TestDatabases", "PlantDBTesting"]),
        // These run the built command as its users do.
        .testTarget(
            name: "CommandTests", dependencies: ["plantdb", "PlantDBTesting"], exclude: ["Golden"]),
        .testTarget(name: "FaultTests", dependencies: ["plantdb", "PlantDBTesting"]),
        .testTarget(
            name: "UpstreamTests", dependencies: ["plantdb", "PlantDBTesting"], exclude: ["Scripts"]),
    ],
    swiftLanguageModes: [.v6]
)

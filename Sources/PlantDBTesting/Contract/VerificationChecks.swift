import NIOCore
import PlantDBCore

extension EndpointContract {
    /// A stream that is not what it announces, and what must come of it.
    private struct Lie: Sendable {
        let name: String
        let codes: [DatabaseError.Code]
        let parts: @Sendable () throws -> [ScanPart]
    }

    private static func entry(_ text: String, size: Int64, digest: Digest? = nil) throws -> FileEntry {
        FileEntry(
            path: try ScanPath("images/\(text)"), size: size, modified: SampleTree.time, mode: 0o644,
            digest: digest)
    }

    private static func bytes(_ text: String) -> ScanPart { .bytes(ByteBuffer(string: text)) }

    private static let lies: [Lie] = [
        Lie(name: "fewer bytes than announced", codes: [.verificationFailed]) {
            [.begin(try entry("liar", size: 5)), bytes("four"), .end(nil)]
        },
        Lie(name: "no bytes where some were announced", codes: [.verificationFailed]) {
            [.begin(try entry("liar", size: 1)), .end(nil)]
        },
        Lie(name: "more bytes than announced", codes: [.verificationFailed]) {
            [.begin(try entry("liar", size: 3)), bytes("fo"), bytes("ur"), .end(nil)]
        },
        Lie(name: "bytes for a file announced as empty", codes: [.verificationFailed]) {
            [.begin(try entry("liar", size: 0)), bytes("four"), .end(nil)]
        },
        Lie(name: "another digest at the end of a file", codes: [.verificationFailed]) {
            [.begin(try entry("liar", size: 4)), bytes("four"), .end(Digest(of: Array("five".utf8)))]
        },
        Lie(name: "another digest at the beginning of a file", codes: [.verificationFailed]) {
            let digest = Digest(of: Array("five".utf8))
            return [.begin(try entry("liar", size: 4, digest: digest)), bytes("four"), .end(nil)]
        },
        Lie(name: "a stream that ends inside a file", codes: [.verificationFailed, .invalidData, .io]) {
            [.begin(try entry("liar", size: 4)), bytes("four")]
        },
        Lie(name: "a file that begins inside another", codes: [.verificationFailed, .invalidData, .io]) {
            [.begin(try entry("liar", size: 4)), bytes("four"), .begin(try entry("b", size: 0)), .end(nil)]
        },
        Lie(name: "bytes outside a file", codes: [.verificationFailed, .invalidData, .io]) {
            [bytes("four")]
        },
    ]

    static let verificationChecks: [ContractCheck] =
        lies.map { lie in
            ContractCheck("\(lie.name): refused, nothing published", [.newScans]) { subject in
                let parts = try lie.parts()
                try await refuses(subject, .init(replaying: parts), codes: lie.codes, lie.name)
            }
        } + [
            ContractCheck("the error of a stream is the error of its receipt", [.newScans]) { subject in
                for code in [DatabaseError.Code.unreachable, .sourceChanged, .permissionDenied] {
                    let failing = ScanPartStream(
                        replaying: [.begin(try entry("a", size: 4)), bytes("fo")],
                        failure: DatabaseError(code, "the stream broke"))
                    try await refuses(subject, failing, codes: [code], "a stream that breaks")
                }
            },
            ContractCheck("an update that fails keeps the previous good file", [.updates]) { subject in
                let old = try SampleTree.minimal("good")
                let base = try await subject.publish(old, as: ContractNames.scan)
                let bad = FileEntry(
                    path: try ScanPath("images/a.txt"), size: 3, modified: later, mode: 0o644)
                try await subject.expectError(.verificationFailed, when: "receiving a bad replacement") {
                    try await subject.transaction(on: ContractNames.scan, replacing: base) { transaction in
                        let parts: [ScanPart] = [
                            .begin(bad), bytes("bad"), .end(Digest(of: Array("new".utf8))),
                        ]
                        _ = try await transaction.receive(.init(replaying: parts), meter: ByteMeter())
                        try await transaction.commit()
                    }
                }
                try await subject.expect(ContractNames.scan, holds: old)
            },
        ]

    /// That receiving `parts` fails with one of the codes, leaves nothing, and keeps nobody
    /// from trying again.
    private static func refuses(
        _ subject: ContractSubject, _ parts: ScanPartStream, codes: [DatabaseError.Code], _ name: String
    ) async throws {
        let good = try SampleTree.minimal()
        do {
            try await subject.transaction(on: ContractNames.scan) { transaction in
                _ = try await transaction.receive(good.parts(), meter: ByteMeter())
                _ = try await transaction.receive(parts, meter: ByteMeter())
            }
            try subject.expect(false, "\(name) was taken")
        } catch let error as DatabaseError {
            try subject.expect(codes.contains(error.code), "it threw \(error.code): \(error)")
        }
        try await subject.expectAbsent(ContractNames.scan)
        // Where nothing can be removed, the next refusal needs the name as well.
        guard subject.endpoint.capabilities.writes == .files else { return }
        let base = try await subject.publish(good, as: ContractNames.scan)
        try await subject.expect(ContractNames.scan, holds: good)
        try await subject.endpoint.removeScan(
            ContractNames.scan, replacing: base, options: TransactionOptions())
    }
}

import Glibc
import PlantDBTesting
import Synchronization
import Testing

@testable import SFTPClient

/// Files to and from a real server.
@Suite(.enabled(if: ServerProcess.path != nil, "SFTP NOT TESTED: sftp-server is missing"))
struct TransferTests {
    static let sizes = [0, 1, 4096, 65_535, 65_536, 65_537, 300_000, 5_000_001]

    @Test("Files of every size come down as they are") func download() async throws {
        let folder = try TemporaryDirectory()
        var generator = SplitMix64(seed: 1)
        let contents = Self.sizes.map { generator.bytes($0) }
        for (index, content) in contents.enumerated() { try writeFile(folder.appending("\(index)"), content) }
        let session = try await SFTPSession.open(over: ServerProcess())
        let sink = FolderSink(
            contents.enumerated().map {
                DownloadItem(
                    index: $0.offset, path: RemotePath(folder.appending("\($0.offset)")),
                    size: UInt64($0.element.count))
            }, folder.appending("copy-"))
        try await session.download(to: sink)
        await session.close()
        #expect(sink.failures == [:])
        for (index, content) in contents.enumerated() {
            #expect(try bytesOnDisk(folder.appending("copy-\(index)")) == content)
        }
        try folder.remove()
    }

    @Test("Files of every size go up as they are, with modes and times") func upload() async throws {
        let folder = try TemporaryDirectory()
        var generator = SplitMix64(seed: 2)
        let contents = Self.sizes.map { generator.bytes($0) }
        for (index, content) in contents.enumerated() { try writeFile(folder.appending("\(index)"), content) }
        let session = try await SFTPSession.open(over: ServerProcess())
        let source = FolderSource(
            contents.enumerated().map {
                UploadItem(
                    index: $0.offset, path: RemotePath(folder.appending("copy-\($0.offset)")),
                    size: UInt64($0.element.count),
                    attributes: FileAttributes(
                        permissions: 0o640, times: .init(accessed: 1_700_000_000, modified: 1_700_000_000)),
                    isFlushed: $0.offset == 3)
            }, folder.appending(""))
        try await session.upload(from: source)
        await session.close()
        #expect(source.failures == [:])
        for (index, content) in contents.enumerated() {
            #expect(try bytesOnDisk(folder.appending("copy-\(index)")) == content)
        }
        let item = try treeSnapshot(folder.path).items["copy-3"]
        #expect(item?.mode == 0o640 && item?.modified?.seconds == 1_700_000_000)
        try folder.remove()
    }
}

/// Writes what arrives into files of a folder.
final class FolderSink: DownloadSink {
    private let items: Mutex<[DownloadItem]>
    private let recorded = Mutex<[Int: SFTPError]>([:])
    private let prefix: String

    init(_ items: [DownloadItem], _ prefix: String) {
        self.items = Mutex(items.reversed())
        self.prefix = prefix
    }

    var failures: [Int: SFTPError] { recorded.withLock { $0 } }
    func next() -> DownloadItem? { items.withLock { $0.popLast() } }
    func open(_ item: DownloadItem) -> CInt? {
        Glibc.open(prefix + "\(item.index)", O_WRONLY | O_CREAT, 0o644)
    }
    func received(bytes: Int) {}
    func complete(_ item: DownloadItem, descriptor: CInt, attributes: FileAttributes) {
        close(descriptor)
        if attributes.size != item.size {
            recorded.withLock { $0[item.index] = SFTPError(.local, "size \(attributes.size as Any)") }
        }
    }
    func fail(_ item: DownloadItem, descriptor: CInt?, _ error: SFTPError) {
        if let descriptor { close(descriptor) }
        recorded.withLock { $0[item.index] = error }
    }
}

/// Reads what is sent from files of a folder.
final class FolderSource: UploadSource {
    private let items: Mutex<[UploadItem]>
    private let recorded = Mutex<[Int: SFTPError]>([:])
    private let prefix: String

    init(_ items: [UploadItem], _ prefix: String) {
        self.items = Mutex(items.reversed())
        self.prefix = prefix
    }

    var failures: [Int: SFTPError] { recorded.withLock { $0 } }
    func next() -> UploadItem? { items.withLock { $0.popLast() } }
    func open(_ item: UploadItem) -> CInt? { Glibc.open(prefix + "\(item.index)", O_RDONLY) }
    func sent(bytes: Int) {}
    func complete(_ item: UploadItem, descriptor: CInt) { close(descriptor) }
    func fail(_ item: UploadItem, descriptor: CInt?, _ error: SFTPError) {
        if let descriptor { close(descriptor) }
        recorded.withLock { $0[item.index] = error }
    }
}

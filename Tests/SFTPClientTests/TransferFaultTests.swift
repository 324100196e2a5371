import Foundation
import Glibc
import NIOCore
import PlantDBTesting
import Synchronization
import Testing

@testable import SFTPClient

/// Faults in the middle of transfers with a real server.
@Suite(
    .serialized, .timeLimit(.minutes(2)),
    .enabled(if: ServerProcess.path != nil, "SFTP NOT TESTED: sftp-server is missing"))
struct TransferFaultTests {
    private static func uploads(_ count: Int, size: Int, _ prefix: String) -> [UploadItem] {
        (0..<count).map {
            UploadItem(
                index: $0, path: RemotePath(prefix + "\($0)"), size: UInt64(size),
                attributes: FileAttributes(permissions: 0o644), isFlushed: false)
        }
    }

    private static func downloads(_ count: Int, size: Int, _ path: (Int) -> String) -> [DownloadItem] {
        (0..<count).map { DownloadItem(index: $0, path: RemotePath(path($0)), size: UInt64(size)) }
    }

    @Test("5,000 small files go up and come down again") func manyFiles() async throws {
        let folder = try TemporaryDirectory()
        let content = Array((0..<100).map { UInt8($0) })
        try writeFile(folder.appending("f"), content)
        let session = try await SFTPSession.open(over: ServerProcess())
        let prefix = folder.appending("up")
        let source = CountingSource(Self.uploads(5000, size: 100, prefix)) { _ in folder.appending("f") }
        try await session.upload(from: source)
        #expect(source.told.count == 5000 && source.told.values.allSatisfy { $0 == [.complete] })
        let sink = CountingSink(
            Self.downloads(5000, size: 100) { prefix + "\($0)" }, folder.appending("down"))
        try await session.download(to: sink)
        #expect(sink.told.count == 5000 && sink.told.values.allSatisfy { $0 == [.complete] })
        for index in 0..<5000 where try bytesOnDisk(folder.appending("down\(index)")) != content {
            Issue.record("file \(index) differs")
        }
        await session.close()
        try folder.remove()
    }

    @Test("Two sessions share one sink: every file comes once") func shared() async throws {
        let folder = try TemporaryDirectory()
        try writeFile(folder.appending("f"), [UInt8](repeating: 1, count: 100_000))
        let first = try await SFTPSession.open(over: ServerProcess())
        let second = try await SFTPSession.open(over: ServerProcess())
        let sink = CountingSink(
            Self.downloads(200, size: 100_000) { _ in folder.appending("f") }, folder.appending("down"))
        async let one: Void = first.download(to: sink)
        async let other: Void = second.download(to: sink)
        _ = try await (one, other)
        #expect(sink.taken == Array(0..<200) && sink.told.values.allSatisfy { $0 == [.complete] })
        await first.close()
        await second.close()
        try folder.remove()
    }

    @Test("What is there is never written over, and the others go on") func exclusive() async throws {
        let folder = try TemporaryDirectory()
        try writeFile(folder.appending("f"), [1, 2, 3])
        try writeFile(folder.appending("up1"), [9])
        symlink(folder.appending("elsewhere"), folder.appending("up2"))
        let session = try await SFTPSession.open(over: ServerProcess())
        let source = CountingSource(Self.uploads(4, size: 3, folder.appending("up"))) { _ in
            folder.appending("f")
        }
        try await session.upload(from: source)
        let taken = CountingSink.Telling.failed(.status(.failure))
        #expect(source.told == [0: [.complete], 1: [taken], 2: [taken], 3: [.complete]])
        #expect(try bytesOnDisk(folder.appending("up1")) == [9])
        #expect(access(folder.appending("elsewhere"), F_OK) != 0)
        await session.close()
        try folder.remove()
    }

    @Test("A file that shrinks while it goes up is an error of that file") func shrinks() async throws {
        let folder = try TemporaryDirectory()
        for index in 0..<3 {
            try writeFile(folder.appending("f\(index)"), [UInt8](repeating: 1, count: 1_000_000))
        }
        let session = try await SFTPSession.open(over: ServerProcess())
        let source = CountingSource(Self.uploads(3, size: 1_000_000, folder.appending("up"))) { index in
            if index == 1 { truncate(folder.appending("f1"), 700_001) }
            return folder.appending("f\(index)")
        }
        try await session.upload(from: source)
        #expect(source.told == [0: [.complete], 1: [.failed(.local)], 2: [.complete]])
        await session.close()
        try folder.remove()
    }

    @Test(
        "A local disk that is full is an error of its files, and the session goes on",
        .enabled(if: geteuid() == 0, "F6 NOT TESTED: only root can make a small file system"))
    func fullDisk() async throws {
        let folder = try TemporaryDirectory()
        try writeFile(folder.appending("f"), [UInt8](repeating: 1, count: 700_000))
        let small = folder.appending("small")
        mkdir(small, 0o700)
        try #require(mount("none", small, "tmpfs", 0, "size=1m") == 0)
        defer { umount2(small, CInt(MNT_DETACH)) }
        let session = try await SFTPSession.open(over: ServerProcess())
        let sink = CountingSink(
            Self.downloads(4, size: 700_000) { _ in folder.appending("f") }, small + "/down")
        try await session.download(to: sink)
        #expect(sink.told.count == 4 && sink.told.values.allSatisfy { $0.count == 1 })
        let told = Set(sink.told.values.joined().map { "\($0)" })
        #expect(sink.told.values.joined().contains(.failed(.local)), "\(told)")
        #expect(try await session.attributes(of: RemotePath(folder.appending("f")))?.size == 700_000)
        await session.close()
        umount2(small, CInt(MNT_DETACH))
        try folder.remove()
    }

    // MARK: Cancelling

    @Test("A transfer that is cancelled ends soon, and every file is told", arguments: [true, false])
    func cancelled(_ isDownload: Bool) async throws {
        let folder = try TemporaryDirectory()
        try writeFile(folder.appending("f"), [])
        truncate(folder.appending("f"), 2 << 30)
        let session = try await SFTPSession.open(over: ServerProcess())
        let sink = CountingSink(
            Self.downloads(8, size: 2 << 30) { _ in folder.appending("f") }, folder.appending("down"))
        let source = CountingSource(Self.uploads(8, size: 2 << 30, folder.appending("up"))) { _ in
            folder.appending("f")
        }
        let transfer = Task { () -> SFTPError? in
            do throws(SFTPError) {
                if isDownload {
                    try await session.download(to: sink)
                } else {
                    try await session.upload(from: source)
                }
                return nil
            } catch { return error }
        }
        try await Task.sleep(for: .milliseconds(100))
        let begin = ContinuousClock.now
        transfer.cancel()
        #expect(await transfer.value?.code == .cancelled)
        #expect(ContinuousClock.now - begin < .seconds(4))
        let told = isDownload ? sink.told : source.told
        #expect(told.keys.sorted() == (isDownload ? sink.taken : source.taken) && !told.isEmpty)
        #expect(told.values.allSatisfy { $0 == [.failed(.cancelled)] }, "\(told)")
        await session.close()
        try folder.remove()
    }

    @Test("A transfer from a server that went silent can be cancelled too") func cancelledInSilence()
        async throws
    {
        let folder = try TemporaryDirectory()
        let server = ScriptedServer { question in
            question.type == .open ? ScriptedServer.handle(question.id, [1]) : nil
        }
        let session = try await SFTPSession.open(over: server.channel)
        let sink = CountingSink(Self.downloads(100, size: 100_000) { "f\($0)" }, folder.appending("down"))
        let transfer = Task { () -> SFTPError.Code? in
            do throws(SFTPError) { try await session.download(to: sink) } catch { return error.code }
            return nil
        }
        try await Task.sleep(for: .milliseconds(50))
        let begin = ContinuousClock.now
        transfer.cancel()
        #expect(await transfer.value == .cancelled)
        #expect(ContinuousClock.now - begin < .seconds(4))
        #expect(sink.told.keys.sorted() == sink.taken && sink.told.values.allSatisfy { $0.count == 1 })
        await session.close()
        try folder.remove()
    }

    // MARK: Kills

    @Test("A server that is killed at any instant: every file is told once, and nothing hangs")
    func killed() async throws {
        let folder = try TemporaryDirectory()
        let content = [UInt8](repeating: 6, count: 3_000_000)
        try writeFile(folder.appending("f"), content)
        var lost = 0
        for seed in TestSeed.rounds(50) {
            var generator = seed.generator
            let server = try ServerProcess()
            let session = try await SFTPSession.open(over: server)
            let prefix = folder.appending("\(seed.value)-")
            let sink = CountingSink(
                Self.downloads(10, size: content.count) { _ in folder.appending("f") }, prefix)
            let source = CountingSource(Self.uploads(10, size: content.count, prefix)) { _ in
                folder.appending("f")
            }
            let isDownload = generator.chance(2)
            let pause = Duration.microseconds(Int.random(in: 0..<40_000, using: &generator))
            let child = server.child.process
            async let end: Void = {
                // Nobody cancels it.
                try? await Task.sleep(for: pause)
                kill(child, SIGKILL)
            }()
            let begin = ContinuousClock.now
            do throws(SFTPError) {
                if isDownload {
                    try await session.download(to: sink)
                } else {
                    try await session.upload(from: source)
                }
            } catch {
                lost += 1
                #expect(error.code == .connectionLost, "\(seed) \(error)")
            }
            await end
            #expect(ContinuousClock.now - begin < .seconds(10), "\(seed)")
            let told = isDownload ? sink.told : source.told
            #expect(told.keys.sorted() == (isDownload ? sink.taken : source.taken), "\(seed)")
            for (index, tellings) in told {
                #expect(
                    tellings == [.complete] || tellings == [.failed(.connectionLost)], "\(seed) \(tellings)")
                guard tellings == [.complete] else { continue }
                #expect(try bytesOnDisk(prefix + "\(index)") == content, "\(seed)")
            }
            await session.close()
            for index in 0..<10 { unlink(prefix + "\(index)") }
        }
        #expect(lost > 0)
        try folder.remove()
    }

    @Test("The number of a closed pipe is not given to a file while a thread may write to it")
    func closedInput() throws {
        let server = try ServerProcess()
        server.child.closeInput()
        let file = open("/dev/null", O_WRONLY)
        defer { close(file) }
        #expect(file != server.input && file != server.output)
        #expect(write(server.output, [1], 1) == -1 && errno == EBADF)
        // The end of its input is the end of the server.
        #expect(server.child.end() == .code(0))
        server.release()
    }

    @Test("The end of a transfer is told after the last file", arguments: 0..<20)
    func toldFirst(_ round: Int) async throws {
        let server = ScriptedServer(ScriptedServer.honest([1, 2, 3]))
        let session = try await SFTPSession.open(over: server.channel)
        let sink = SlowSink()
        let transfer = Task {
            // Cancelled or not, every file is told.
            do throws(SFTPError) { try await session.download(to: sink) } catch {}
            return sink.untold
        }
        try await Task.sleep(for: .milliseconds(5 * (round % 8)))
        transfer.cancel()
        #expect(await transfer.value == 0)
        await session.close()
    }
}

/// Takes its time.
private final class SlowSink: DownloadSink {
    private let counts = Mutex((taken: 0, told: 0))

    var untold: Int { counts.withLock { $0.taken - $0.told } }

    func next() -> DownloadItem? {
        counts.withLock { counts in
            guard counts.taken < 2 else { return nil }
            counts.taken += 1
            return DownloadItem(index: counts.taken, path: "f", size: 3)
        }
    }

    func open(_ item: DownloadItem) -> CInt? { Glibc.open("/dev/null", O_WRONLY) }
    func received(bytes: Int) {}
    func complete(_ item: DownloadItem, descriptor: CInt, attributes: FileAttributes) { tell(descriptor) }
    func fail(_ item: DownloadItem, descriptor: CInt?, _ error: SFTPError) { tell(descriptor) }

    private func tell(_ descriptor: CInt?) {
        usleep(30_000)
        if let descriptor { close(descriptor) }
        counts.withLock { $0.told += 1 }
    }
}

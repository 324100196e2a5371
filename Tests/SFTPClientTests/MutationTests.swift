import Foundation
import Glibc
import NIOCore
import PlantDBTesting
import Testing

@testable import SFTPClient

/// F10 and F11: what an honest server said once, with a few bytes changed, cut, doubled or added.
@Suite struct MutationTests {
    private typealias Server = ScriptedServer
    private static let content = [UInt8](repeating: 9, count: 5000)

    /// One directory, two files, one after the other, so that the same numbers come every time.
    private static func script() -> ScriptedServer.Script {
        let honest = Server.honest(content)
        return { question in
            switch question.type {
            case .opendir: Server.handle(question.id, [2])
            case .readdir where question.id == 2:
                Server.names(question.id, [("a", .init(size: 5000, permissions: 0o100_644)), ("b", .init())])
            case .readdir: Server.status(question.id, 1)
            case .extended:
                Server.packet(.extendedReply, question.id) { buffer in
                    for limit in [262_144, 65_536, 65_536, 10] { buffer.writeInteger(UInt64(limit)) }
                }
            default: honest(question)
            }
        }
    }

    /// Says its part whatever is asked: one answer a question, and the rest after a moment.
    private static func play(_ chunks: [[UInt8]]) -> DescriptorChannel {
        var ends: [CInt] = [-1, -1]
        socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends)
        let own = ends[1]
        Thread.detachNewThread {
            for chunk in chunks {
                var wanted = pollfd(fd: own, events: Int16(POLLIN), revents: 0)
                if poll(&wanted, 1, 2) > 0, ScriptedServer.read(own) == nil { break }
                guard send(own, chunk, chunk.count, CInt(MSG_NOSIGNAL)) == chunk.count else { break }
            }
            shutdown(own, CInt(SHUT_WR))
            // Until the other side is gone: what it still says is no error.
            while ScriptedServer.read(own) != nil {}
            close(own)
        }
        return DescriptorChannel(input: ends[0], output: ends[0])
    }

    /// - Returns: what became of the two files; nil: it did not come so far.
    private static func run(over channel: DescriptorChannel, _ prefix: String) async throws(SFTPError)
        -> [CountingSink]
    {
        var configuration = SFTPSession.Configuration()
        configuration.silenceLimit = .seconds(5)
        configuration.handshakeLimit = .seconds(5)
        let session = try await SFTPSession.open(over: channel, configuration: configuration)
        var sinks: [CountingSink] = []
        do throws(SFTPError) {
            _ = try await session.entries(ofDirectory: "d", limit: 100)
            for index in 0..<2 {
                let sink = CountingSink([DownloadItem(index: index, path: "a", size: 5000)], prefix)
                sinks.append(sink)
                try await session.download(to: sink)
            }
        } catch {}  // What the sinks were told is what is asserted.
        await session.close()
        return sinks
    }

    private static func record(_ folder: TemporaryDirectory) async throws -> [[UInt8]] {
        let (stream, continuation) = AsyncStream<[UInt8]>.makeStream()
        let greeting = Server.version(3, [.limits])
        continuation.yield(greeting)
        let script = script()
        let server = Server(greeting: greeting) { question in
            let answer = script(question)
            if let answer { continuation.yield(answer) }
            return answer
        }
        let sinks = try await run(over: server.channel, folder.appending("recorded"))
        continuation.finish()
        #expect(sinks.map(\.told) == [[0: [.complete]], [1: [.complete]]])
        var chunks: [[UInt8]] = []
        for await chunk in stream { chunks.append(chunk) }
        return chunks
    }

    private static func mutate(_ chunks: [[UInt8]], _ generator: inout SplitMix64) -> [[UInt8]] {
        var result = chunks
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
            let index = Int.random(in: 0..<result.count, using: &generator)
            guard !result[index].isEmpty else { continue }
            // Mostly where lengths, types and numbers are.
            let span = generator.chance(3) ? result[index].count : min(32, result[index].count)
            let place = Int.random(in: 0..<span, using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: result[index][place] ^= UInt8.random(in: 1...255, using: &generator)
            case 1: result[index][place] = [0, 1, 0x7f, 0x80, 0xff][Int.random(in: 0..<5, using: &generator)]
            case 2: result[index].remove(at: place)
            case 3: result[index].insert(UInt8.random(in: 0...255, using: &generator), at: place)
            case 4: result[index] += result[index]
            default: result[index] = Array(result[index].prefix(place))
            }
        }
        return result
    }

    @Test(
        "Mutations of what an honest server said: no crash, no hang, no file of another size",
        .timeLimit(.minutes(10)))
    func mutations() async throws {
        let folder = try TemporaryDirectory()
        let recorded = try await Self.record(folder)
        #expect(recorded.count == 14)
        let isSoak = getenv("PLANTDB_SOAK") != nil
        let seeds = TestSeed.rounds(isSoak ? 200_000 : 20_000)
        let tally = await withTaskGroup(of: (begun: Int, complete: Int).self) { group in
            for lane in 0..<8 {
                group.addTask {
                    var begun = 0
                    var complete = 0
                    for seed in seeds[...] where Int(seed.value % 8) == lane {
                        var generator = seed.generator
                        let channel = Self.play(Self.mutate(recorded, &generator))
                        // A file of its own a lane: a file that is complete is looked at.
                        let prefix = folder.appending("lane\(lane)-")
                        var sinks: [CountingSink] = []
                        do throws(SFTPError) { sinks = try await Self.run(over: channel, prefix) } catch {
                            // It did not even begin, which is an answer to a changed greeting.
                            continue
                        }
                        begun += 1
                        for sink in sinks {
                            let told = sink.told
                            #expect(
                                told.keys.sorted() == sink.taken && told.values.allSatisfy { $0.count == 1 },
                                "\(seed) \(told)")
                            for (index, telling) in told where telling == [.complete] {
                                complete += 1
                                var status = stat()
                                #expect(
                                    stat(prefix + "\(index)", &status) == 0 && status.st_size == 5000,
                                    "\(seed)")
                            }
                        }
                    }
                    return (begun, complete)
                }
            }
            return await group.reduce(into: (begun: 0, complete: 0)) {
                $0.begun += $1.begun
                $0.complete += $1.complete
            }
        }
        // The mutations reach beyond the greeting, and are mostly noticed.
        if TestSeed.replayed == nil {
            #expect(tally.begun > seeds.count / 2 && tally.complete > 0 && tally.complete < seeds.count)
        }
        try folder.remove()
    }
}

import PlantDBCore
import PlantDBTesting
import Synchronization
import Testing

@testable import SyncEngine

/// How many scans are at work at a time, and how much of them is on its way.
@Suite struct ContentBudgetTests {
    @Test(
        "As many scans are at work as the slower side to answer wants and both bear",
        arguments: [
            (2...8, 2...8, 2), (2...8, 8...8, 8), (8...8, 2...8, 8), (8...8, 1...1, 1), (2...4, 8...8, 4),
        ]
            as [(ClosedRange<Int>, ClosedRange<Int>, Int)])
    func scansAtATime(source: ClosedRange<Int>, target: ClosedRange<Int>, expected: Int) async throws {
        var bench = EngineBench(try .plants(12))
        bench.sourceCapabilities.concurrentScans = source
        bench.targetCapabilities.concurrentScans = target
        // All stand still where they are.
        bench.targetFaults = FaultPlan([.always(.receive, .stall)])
        let stuck = bench
        let started = Mutex(0)
        let run = Task {
            await stuck.run { event in
                if case .scanStarted = event { started.withLock { $0 += 1 } }
            }
        }
        while started.withLock({ $0 }) < expected { try await Task.sleep(for: .milliseconds(5)) }
        try await Task.sleep(for: .milliseconds(100))
        #expect(started.withLock { $0 } == expected)
        run.cancel()
        #expect(await run.value.error?.code == .cancelled)
        bench.expectNoDebris()
        #expect(await bench.runAgain().errors.isEmpty)
        #expect(bench.target.content == bench.source.content)
    }

    @Test("Two large scans, or many small ones, are on their way; who waits longest is next")
    func shares() async throws {
        let budget = ContentBudget(largeScans: 2)
        let first = await budget.take(.max)
        let second = await budget.take(100 << 20)
        let order = Mutex<[Int64]>([])
        // A small one does not overtake a large one that waits, which would wait for ever.
        var waiting: [Task<Int, Never>] = []
        for bytes in [50 << 20, 1000, 2000] as [Int64] {
            waiting.append(
                Task { @Sendable in
                    let share = await budget.take(bytes)
                    order.withLock { $0.append(bytes) }
                    return share
                })
            try await Task.sleep(for: .milliseconds(50))
        }
        #expect(order.withLock { $0 } == [])
        budget.giveBack(first)
        let large = await waiting[0].value
        #expect(order.withLock { $0 } == [50 << 20])
        budget.giveBack(second)
        let small = [await waiting[1].value, await waiting[2].value]
        #expect(small == [1000, 2000] && order.withLock { $0.count } == 3)
        for share in [large] + small { budget.giveBack(share) }
        // All is free again.
        for share in [await budget.take(.max), await budget.take(.max)] { budget.giveBack(share) }
    }
}

import Testing

@testable import PlantDBClient

/// A limit is kept from the first request on, whatever the times of the requests are.
@Suite struct RequestWindowTests {
    @Test func theLimitIsAdmittedAtOnceAndTheNextWaitsForTheFirstToLeave() {
        var window = RequestWindow(limit: 5, span: .seconds(60))
        for second in 0..<5 { #expect(window.admit(at: .seconds(second)) == .zero) }
        #expect(window.admit(at: .seconds(10)) == .seconds(50))
        // Asking does not count.
        #expect(window.admit(at: .seconds(59)) == .seconds(1))
        #expect(window.admit(at: .seconds(60)) == .zero)
        #expect(window.admit(at: .seconds(60)) == .seconds(1))
    }

    @Test("Never more than the limit in any span, and no more waiting than that takes", arguments: 1...6)
    func neverMoreThanTheLimit(_ limit: Int) {
        var window = RequestWindow(limit: limit, span: .seconds(60))
        var now = Duration.zero
        var sent: [Duration] = []
        for step in 0..<100 {
            let wait = window.admit(at: now)
            if wait == .zero { sent.append(now) }
            now += wait + .seconds(step % 7)
        }
        for (position, time) in sent.enumerated() where position >= limit {
            #expect(time - sent[position - limit] >= .seconds(60))
        }
        #expect(sent.count >= limit * 2)
    }

    @Test func theDelayOfManyIsWhenTheLastOfThemGoes() {
        var window = RequestWindow(limit: 2, span: .seconds(60))
        #expect(window.delay(of: 2, at: .zero) == .zero)
        #expect(window.delay(of: 3, at: .zero) == .seconds(60))
        #expect(window.delay(of: 5, at: .zero) == .seconds(120))
        _ = window.admit(at: .zero)
        #expect(window.delay(of: 1, at: .seconds(10)) == .zero)
        #expect(window.delay(of: 2, at: .seconds(10)) == .seconds(50))
    }

    @Test func aRefusalDoesNotCountAndIsWaitedOutAsTheServerSaysOrLongerEachTime() {
        var window = RequestWindow(limit: 2, span: .seconds(60))
        _ = window.admit(at: .zero)
        window.refuse(at: .seconds(1), retryAfter: .seconds(7))
        #expect(window.admit(at: .seconds(2)) == .seconds(6))
        var guesses: [Duration] = []
        var now = Duration.seconds(8)
        for _ in 0..<7 {
            #expect(window.admit(at: now) == .zero)
            window.refuse(at: now)
            let wait = window.delay(at: now)
            guesses.append(wait)
            now += wait
        }
        #expect(guesses == guesses.sorted() && guesses.allSatisfy { $0 <= .seconds(20) && $0 > .zero })
        _ = window.admit(at: now)
        window.serve()
        window.refuse(at: now)
        #expect(window.delay(at: now) == .seconds(2))
    }
}

import Testing

@testable import ExemplarServer

@Suite struct AnticipationTests {
    private let start = ContinuousClock.now

    @Test func expectsWhatTheLastGapWas() {
        var anticipation = Anticipation()
        #expect(!anticipation.isSoon)
        for (gap, isSoon) in [(0.5, true), (1.0, true), (1.5, false), (0.1, true), (100, false)] {
            anticipation.didAnswer(at: start)
            anticipation.didHear(at: start + Anticipation.window * gap)
            #expect(anticipation.isSoon == isSoon, "after a gap of \(gap) windows")
        }
    }

    /// Whoever finds all asleep may be late, and is awaited after; one that then is late again is not for a while.
    @Test func whoMetSleepersHasTheBenefitOfTheDoubt() {
        var anticipation = Anticipation()
        func hear(_ gap: Double) -> Bool {
            anticipation.didAnswer(at: start)
            anticipation.didHear(at: start + Anticipation.window * gap)
            return anticipation.isSoon
        }
        #expect(hear(1.5))
        #expect(hear(0.5) && hear(0.5))
        #expect(!hear(1.5))
        for _ in 0..<Anticipation.patience { #expect(!hear(1.5)) }
        #expect(hear(1.5))
        #expect(!hear(2.5))
        #expect(hear(1), "a gap within the window is no matter of doubt")
    }

    @Test func onlyTheFirstNewsAfterAnAnswerCounts() {
        var anticipation = Anticipation()
        anticipation.didHear(at: start)
        #expect(!anticipation.isSoon)
        anticipation.didAnswer(at: start)
        anticipation.didHear(at: start)
        anticipation.didHear(at: start + Anticipation.window * 2)
        #expect(anticipation.isSoon)
    }
}

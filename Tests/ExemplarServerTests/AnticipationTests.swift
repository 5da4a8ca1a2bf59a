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

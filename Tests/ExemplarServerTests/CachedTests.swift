import Batching
import Testing

@testable import ExemplarServer

@Suite struct CachedTests {
    @Test func aFigureIsReadOncePerInterval() {
        let reads = Monitor(0)
        let cached = Cached(for: .milliseconds(100)) {
            reads.withLock { reads in
                reads += 1
                return reads
            }
        }
        let start = ContinuousClock.now
        for milliseconds in 0..<100 { #expect(cached.value(at: start + .milliseconds(milliseconds)) == 1) }
        #expect(cached.value(at: start + .milliseconds(100)) == 2)
        #expect(cached.value(at: start + .milliseconds(199)) == 2)
        #expect(cached.value(at: start + .milliseconds(500)) == 3)
    }
}

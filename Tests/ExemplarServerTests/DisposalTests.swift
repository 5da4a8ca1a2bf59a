import Batching
import Glibc
import Platform
import TestSupport
import Testing

@testable import ExemplarServer

/// Models that were replaced are freed, and not by the event loop.
@Suite struct DisposalTests {
    /// Says which thread freed it.
    private final class Witness: Sendable {
        private let report: @Sendable (pthread_t) -> Void
        init(_ report: @escaping @Sendable (pthread_t) -> Void) { self.report = report }
        deinit { report(pthread_self()) }
    }

    @Test func whoeverLetsGoLastTheBinFrees() {
        let freed = Monitor<[UInt]>([])
        var witnesses = (0..<3).map { _ in
            Witness { thread in
                freed.withLock { $0.append(UInt(thread)) }
                freed.notifyAll()
            }
        }
        let bin = DisposalBin(witnesses)
        let thread = JoinableThread { bin.empty() }
        #expect(thread != nil)
        witnesses.removeLast()
        freed.wait { $0.count == 1 ? () : nil }
        usleep(50_000)
        #expect(freed.withLock { $0.count } == 1, "what is in use is not freed")
        witnesses = []
        thread?.join()
        let threads = freed.withLock { $0 }
        #expect(threads.count == 3)
        #expect(!threads.contains(UInt(pthread_self())))
    }
}

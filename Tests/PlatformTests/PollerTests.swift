import Glibc
import Testing

@testable import Platform

@Suite struct PollerTests {
    /// Two ends of a socket, closed with the last reference.
    private final class Pair {
        let ends: [Int32]

        init() throws {
            var ends: [Int32] = [0, 0]
            try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
            self.ends = ends
        }

        deinit { for end in ends { close(end) } }

        func send() { #expect(write(ends[1], "x", 1) == 1) }
    }

    @Test func reportsWhatIsReadyByItsToken() throws {
        let pair = try Pair()
        guard let poller = Poller() else { throw Failure() }
        guard poller.add(pair.ends[0], .read, token: 7) else { throw Failure() }
        var events = poller.wait(timeout: .zero)
        #expect(events.isEmpty)
        // Shorter than a millisecond, which older kernels round up.
        events = poller.wait(timeout: .microseconds(10))
        #expect(events.isEmpty)
        pair.send()
        events = poller.wait(timeout: nil)
        #expect(events.map(\.token) == [7] && events.map(\.ready) == [.read])
        // Level-triggered: still there.
        events = poller.wait(timeout: .seconds(60))
        #expect(events.count == 1)
        poller.change(pair.ends[0], [.read, .write], token: 8)
        events = poller.wait(timeout: nil)
        #expect(events.map(\.token) == [8] && events.map(\.ready) == [[.read, .write]])
        poller.remove(pair.ends[0])
        events = poller.wait(timeout: .zero)
        #expect(events.isEmpty)
    }

    @Test func aDescriptorThatIsNoneIsNotWatched() throws {
        guard let poller = Poller() else { throw Failure() }
        let isWatched = poller.add(-1, .read, token: 1)
        #expect(!isWatched && errno == EBADF)
    }

    private struct Failure: Error {}
}

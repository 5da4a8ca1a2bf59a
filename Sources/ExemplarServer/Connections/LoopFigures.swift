import Synchronization

/// What an event loop tells the others and the server of its connections.
final class LoopFigures: Sendable {
    /// Connections, those on their way to the loop counted.
    let connections = SharedCount()
    /// Connections with a line that waits, or has waited, for memory.
    let owedLines = SharedCount()
    /// The last of the server's pings (`EventLoop.Order.ping`) that the loop has answered.
    let answeredPing = SharedCount()
    /// While draining: connections that are owed something, those that have replies to take, and requests whose replies
    /// have not come; of the first -1 as long as the loop has not looked.
    let busy = SharedCount(-1)
    let untaken = SharedCount()
    let inFlight = SharedCount()
}

/// A number that several threads change or read.
struct SharedCount: ~Copyable, Sendable {
    private let value: Atomic<Int>

    init(_ value: Int = 0) { self.value = Atomic(value) }

    var current: Int { value.load(ordering: .acquiring) }

    func add(_ number: Int) { value.add(number, ordering: .acquiringAndReleasing) }

    func set(_ number: Int) { value.store(number, ordering: .releasing) }
}

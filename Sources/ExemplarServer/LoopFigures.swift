import Synchronization

/// What an event loop tells the others and the server of its connections.
final class LoopFigures: Sendable {
    /// Of those that have not shown the token, the one that has been there for longest.
    enum Stranger: Equatable {
        case none
        /// There are some, and none has been heard yet.
        case unheard
        case connection(UInt64)
    }

    /// Connections, those on their way to the loop counted.
    let connections = SharedCount()
    /// Connections on their way to the loop.
    let arriving = SharedCount()
    /// Connections with a line that waits, or has waited, for memory.
    let owedLines = SharedCount()
    /// While draining: connections that are owed something, and those that have replies to take; of the first -1 as
    /// long as the loop has not looked.
    let busy = SharedCount(-1)
    let untaken = SharedCount()
    private let stranger = Atomic<UInt64>(UInt64.max)

    /// As the loop saw it at the end of its last turn.
    var oldestStranger: Stranger {
        get {
            switch stranger.load(ordering: .acquiring) {
            case .max: arriving.current > 0 ? .unheard : .none
            case 0: .unheard
            case let id: .connection(id)
            }
        }
        set {
            let value: UInt64 =
                switch newValue {
                case .none: .max
                case .unheard: 0
                case .connection(let id): id
                }
            stranger.store(value, ordering: .releasing)
        }
    }
}

/// A number that several threads change or read.
struct SharedCount: ~Copyable, Sendable {
    private let value: Atomic<Int>

    init(_ value: Int = 0) { self.value = Atomic(value) }

    var current: Int { value.load(ordering: .acquiring) }

    func add(_ number: Int) { value.add(number, ordering: .acquiringAndReleasing) }

    func set(_ number: Int) { value.store(number, ordering: .releasing) }
}

import Synchronization

/// Threads that compute one small batch together: a caller and its assistants, who meet wherever one needs what the
/// others have computed.
///
/// Between two calls the assistants block. Any thread may be the caller, one at a time.
public final class Crew: Sendable {
    /// The most threads that should share one patch: beyond it their meetings cost what they save.
    public static let most = 8

    /// Threads, the caller's among them.
    public let count: Int

    private let meeting: Barrier
    private let slot = Slot()
    private let isTaken = Atomic<Bool>(false)

    /// What a crew does together: each member calls `run` once, with its own number.
    protocol Work: AnyObject {
        func run(member: Int)
    }

    /// Unchecked: written by the caller before the meeting that starts the work, read by the assistants after it.
    private final class Slot: @unchecked Sendable {
        var work: (any Work)?
        /// How the assistants wait for the next work.
        var patience = Barrier.Patience.idle
        /// When the last work ended.
        var released: ContinuousClock.Instant?
        var isDisbanded = false
        /// Whether every assistant has its thread; otherwise nobody comes to a meeting.
        var isComplete = false
    }

    /// - Parameters:
    ///   - count: threads, the caller's among them.
    ///   - startThread: runs a body on a new thread; false where there can be none.
    /// - Throws: `ModelError` where an assistant has no thread.
    public init(
        count: Int, startThread: (@escaping @Sendable () -> Void) -> Bool
    ) throws(ModelError) {
        self.count = max(1, count)
        meeting = Barrier(count: self.count)
        for member in 1..<self.count {
            let isStarted = startThread { [meeting, slot] in
                var patience = Barrier.Patience.idle
                while true {
                    meeting.wait(patience)
                    if slot.isDisbanded { return }
                    patience = slot.patience
                    slot.work?.run(member: member)
                    meeting.wait(.working)
                }
            }
            guard isStarted else { throw ModelError("Cannot start a thread for a part of a layer.") }
        }
        slot.isComplete = true
    }

    /// Ends the assistants.
    deinit {
        slot.isDisbanded = true
        if count > 1, slot.isComplete { meeting.wait(.idle) }
    }

    /// Makes the calling thread the caller until `release`; false where another is.
    ///
    /// - Parameter expectingMore: whether more work will probably follow this within some hundred microseconds: so long
    ///   the assistants then stay awake, as they do where this has followed the last one so soon.
    public func take(expectingMore: Bool = false) -> Bool {
        guard !isTaken.exchange(true, ordering: .acquiring) else { return false }
        let isSoon = slot.released.map { $0.duration(to: .now) < Self.soon } ?? false
        slot.patience = expectingMore || isSoon ? .working : .idle
        return true
    }

    private static let soon = Duration.microseconds(200)

    /// Lets another thread be the caller. To be called by the one that `take` made it, once, with no work running.
    public func release() {
        slot.released = .now
        isTaken.store(false, ordering: .releasing)
    }

    /// Runs `work` on every member and returns when all have.
    func run(_ work: any Work) {
        slot.work = work
        meeting.wait(.working)
        work.run(member: 0)
        meeting.wait(.working)
        slot.work = nil
    }

    /// Where the members of a running work wait for one another.
    func meet() { meeting.wait(.working) }
}

/// One member's part of what a crew does.
struct CrewPart {
    let member: Int
    let count: Int
    let crew: Crew?
    /// Whose memory this is about: scratch that no two members share.
    let seat: Int

    /// All of it, for a thread by itself.
    static let whole = alone(seat: 0)

    /// All of something that no other member has a part in.
    static func alone(seat: Int) -> CrewPart { CrewPart(member: 0, count: 1, crew: nil, seat: seat) }

    static func shared(member: Int, crew: Crew) -> CrewPart {
        CrewPart(member: member, count: crew.count, crew: crew, seat: member)
    }

    /// This member's part of so many things, nearly equal to the others'.
    func range(of total: Int) -> Range<Int> {
        member * total / count..<(member + 1) * total / count
    }

    func meet() { crew?.meet() }
}

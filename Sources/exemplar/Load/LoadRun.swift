import CPlatform
import ExemplarClient
import Glibc
import Platform

/// One run: a single thread that sends what is due and takes what comes, on every connection.
struct LoadRun {
    private let plan: LoadPlan
    /// Where several requests are due in each of such steps, those of a step are sent together, and replies are taken
    /// as often: a thread that woke for each would take the server's cores, and one that wakes just after it fell
    /// asleep is kept waiting for a core by the scheduler. What is late by it counts as late.
    private static let step: Duration = .microseconds(500)
    private static let severalInStep = 4
    private var isDense = false
    private let template: RequestTemplate
    /// Every connection, by its token of the poller's.
    private var watched: [LoadConnection] = []
    /// Those that live.
    private var connections: [LoadConnection] = []
    private var tally = LoadTally()
    private var lastID = 0
    private var turn = 0
    private let chunk: UnsafeMutableRawBufferPointer

    /// Connects; nothing is sent yet.
    ///
    /// - Parameter chunk: what is received goes through it.
    init(
        _ plan: LoadPlan, template: RequestTemplate, address: ServerAddress, token: String?,
        through chunk: UnsafeMutableRawBufferPointer
    ) throws(ClientError) {
        self.plan = plan
        self.template = template
        self.chunk = chunk
        if case .open(_, let rate) = plan.loop { isDense = .seconds(Double(Self.severalInStep) / rate) < Self.step }
        for _ in 0..<plan.connections {
            connections.append(
                try LoadConnection(to: address, token: token, timeout: plan.timeout, through: chunk))
        }
    }

    /// Runs to its end.
    ///
    /// - Parameter progress: called now and then with the time since the start.
    /// - Throws: `CommandError` where the system has no room to watch the connections.
    mutating func run(progress: (Duration) -> Void) throws(CommandError) -> LoadReport {
        guard let poller = Poller() else { throw Self.cannotWatch }
        watched = connections
        for (token, connection) in watched.enumerated() {
            guard poller.add(connection.descriptor, .read, token: UInt64(token)) else { throw Self.cannotWatch }
        }
        let start = ContinuousClock.now
        let counting = start + plan.warmUp
        let end = counting + plan.duration
        var schedule: ArrivalSchedule?
        if case .open(let spacing, let rate) = plan.loop {
            schedule = .init(spacing, rate: rate, seed: plan.seed)
            // So that the workers of a server on the same cores do not hold up what is due. In a closed loop nothing
            // is, and clients ask for no such thing.
            exemplar_request_slice(100_000)
        }
        var due = schedule?.next().advanced(from: start)
        var now = start
        while !connections.isEmpty {
            if now < end { sendDue(&schedule, &due, start: start, counting: counting, end: end, now) }
            send(poller)
            removeLost(poller)
            now = .now
            if now >= end, connections.allSatisfy({ $0.inFlight == 0 }) || now >= end + plan.timeout { break }
            wait(poller, until: wakeUp(due, end: end, now), now, window: counting..<end)
            now = .now
            progress(start.duration(to: now))
        }
        tally.unanswered += connections.reduce(0) { $0 + UInt64($1.countedInFlight) }
        countUnsent(&schedule, due, start: start, counting: counting, end: end)
        let last = max(end, tally.lastReply ?? end)
        return LoadReport(plan: plan, tally: tally, elapsed: counting.duration(to: last))
    }

    private static var cannotWatch: CommandError {
        .failure("Cannot watch the connections: \(errorText()). Give fewer --connections.")
    }

    /// Puts what is due into the outputs, as far as the pipelines have room.
    private mutating func sendDue(
        _ schedule: inout ArrivalSchedule?, _ due: inout ContinuousClock.Instant?, start: ContinuousClock.Instant,
        counting: ContinuousClock.Instant, end: ContinuousClock.Instant, _ now: ContinuousClock.Instant
    ) {
        func add(_ connection: LoadConnection, due: ContinuousClock.Instant) {
            lastID += 1
            connection.add(lastID, of: template, due: due, isCounted: due >= counting)
        }
        guard schedule != nil else {
            for connection in connections {
                while connection.inFlight < plan.pipeline { add(connection, due: now) }
            }
            return
        }
        while let next = due, next <= now, next < end, let connection = connectionWithRoom() {
            add(connection, due: next)
            due = schedule?.next().advanced(from: start)
        }
    }

    /// Counts what was due and not sent: where that would take long, what the schedule has on average.
    private mutating func countUnsent(
        _ schedule: inout ArrivalSchedule?, _ due: ContinuousClock.Instant?, start: ContinuousClock.Instant,
        counting: ContinuousClock.Instant, end: ContinuousClock.Instant
    ) {
        guard case .open(_, let rate) = plan.loop, var next = due else { return }
        for _ in 0..<1_000_000 {
            guard next < end else { return }
            if next >= counting { tally.unsent += 1 }
            guard let following = schedule?.next() else { return }
            next = start + following
        }
        tally.unsent += UInt64(rate * max(0, max(next, counting).duration(to: end) / .seconds(1)))
    }

    /// In turns, past those that are full.
    private mutating func connectionWithRoom() -> LoadConnection? {
        for _ in connections.indices {
            turn = (turn + 1) % connections.count
            if connections[turn].inFlight < plan.pipeline { return connections[turn] }
        }
        return nil
    }

    /// Sends what the server takes now, and has the poller watch for room where it does not take all.
    private func send(_ poller: borrowing Poller) {
        for (token, connection) in watched.enumerated() where !connection.isLost {
            if connection.hasToSend { connection.send() }
            guard connection.hasToSend != connection.isWatchedForRoom, !connection.isLost else { continue }
            connection.isWatchedForRoom = connection.hasToSend
            poller.change(
                connection.descriptor, connection.hasToSend ? [.read, .write] : .read, token: UInt64(token))
        }
    }

    private mutating func removeLost(_ poller: borrowing Poller) {
        guard connections.contains(where: \.isLost) else { return }
        for connection in connections where connection.isLost {
            poller.remove(connection.descriptor)
            tally.lostConnections += 1
            tally.unanswered += UInt64(connection.countedInFlight)
        }
        connections.removeAll(where: \.isLost)
    }

    private func wakeUp(
        _ due: ContinuousClock.Instant?, end: ContinuousClock.Instant, _ now: ContinuousClock.Instant
    ) -> ContinuousClock.Instant {
        // Soon enough to show how far it is.
        let limit = min(now + .milliseconds(100), now < end ? end : end + plan.timeout)
        let hasRoom = connections.contains { $0.inFlight < plan.pipeline }
        guard let due, due < end, hasRoom else { return limit }
        return min(isDense ? max(due, now + Self.step) : due, limit)
    }

    /// Sleeps until a connection is ready or the time has come; takes what there is.
    private mutating func wait(
        _ poller: borrowing Poller, until time: ContinuousClock.Instant, _ now: ContinuousClock.Instant,
        window: Range<ContinuousClock.Instant>
    ) {
        var timeout = now.duration(to: time)
        if isDense, timeout > .zero, timeout <= Self.step {
            usleep(UInt32((timeout / .microseconds(1)).rounded(.up)))
            timeout = .zero
        }
        for event in poller.wait(timeout: timeout) where event.ready != .write {
            watched[Int(event.token)].receive(through: chunk, in: window, &tally)
        }
    }
}

extension Duration {
    fileprivate func advanced(from start: ContinuousClock.Instant) -> ContinuousClock.Instant { start + self }
}

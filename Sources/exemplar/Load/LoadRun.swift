import CPlatform
import ExemplarClient
import Glibc

/// One run: a single thread that sends what is due and takes what comes, on every connection.
struct LoadRun {
    private let plan: LoadPlan
    private let template: RequestTemplate
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
        for _ in 0..<plan.connections {
            connections.append(
                try LoadConnection(to: address, token: token, timeout: plan.timeout, through: chunk))
        }
    }

    /// Runs to its end.
    ///
    /// - Parameter progress: called now and then with the time since the start.
    mutating func run(progress: (Duration) -> Void) -> LoadReport {
        let start = ContinuousClock.now
        let counting = start + plan.warmUp
        let end = counting + plan.duration
        var schedule: ArrivalSchedule?
        if case .open(let spacing, let rate) = plan.loop { schedule = .init(spacing, rate: rate, seed: plan.seed) }
        var due = schedule?.next().advanced(from: start)
        var now = start
        while !connections.isEmpty {
            if now < end { sendDue(&schedule, &due, start: start, counting: counting, end: end, now) }
            for connection in connections where connection.hasToSend { connection.send() }
            removeLost()
            now = .now
            if now >= end, connections.allSatisfy({ $0.inFlight == 0 }) || now >= end + plan.timeout { break }
            wait(until: wakeUp(due, end: end, now), now, window: counting..<end)
            now = .now
            progress(start.duration(to: now))
        }
        tally.unanswered += connections.reduce(0) { $0 + UInt64($1.countedInFlight) }
        while let next = due, next < end {
            if next >= counting { tally.unsent += 1 }
            due = schedule?.next().advanced(from: start)
        }
        let last = max(end, tally.lastReply ?? end)
        return LoadReport(plan: plan, tally: tally, elapsed: counting.duration(to: last))
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

    /// In turns, past those that are full.
    private mutating func connectionWithRoom() -> LoadConnection? {
        for _ in connections.indices {
            turn = (turn + 1) % connections.count
            if connections[turn].inFlight < plan.pipeline { return connections[turn] }
        }
        return nil
    }

    private mutating func removeLost() {
        for connection in connections where connection.isLost {
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
        return min(due, limit)
    }

    /// Sleeps until a connection is ready or the time has come; takes what there is.
    private mutating func wait(
        until time: ContinuousClock.Instant, _ now: ContinuousClock.Instant, window: Range<ContinuousClock.Instant>
    ) {
        let left = max(.zero, now.duration(to: time)) / .nanoseconds(1)
        var polled = connections.map { connection in
            let events = CShort(POLLIN) | (connection.hasToSend ? CShort(POLLOUT) : 0)
            return pollfd(fd: connection.descriptor, events: events, revents: 0)
        }
        guard exemplar_poll(&polled, UInt(polled.count), Int64(left)) > 0 else { return }
        for (connection, entry) in zip(connections, polled) where entry.revents & ~CShort(POLLOUT) != 0 {
            connection.receive(through: chunk, in: window, &tally)
        }
        removeLost()
    }
}

extension Duration {
    fileprivate func advanced(from start: ContinuousClock.Instant) -> ContinuousClock.Instant { start + self }
}

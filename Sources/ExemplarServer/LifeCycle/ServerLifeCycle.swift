import Batching
import CPlatform
import ExemplarNetwork
import Glibc
import JSONRPC
import Platform

/// Signals, and the end: what was admitted is answered first.
extension Server {
    func takeSignals() {
        while true {
            let signal = exemplar_next_signal(signals)
            switch signal {
            case 0: return
            case SIGHUP where drainDeadline == nil:
                shared.log.info(isLoading ? "reloading, once the load that is under way has ended" : "reloading")
                load()
            case SIGTERM, SIGINT: end(signal == SIGTERM ? "SIGTERM" : "SIGINT")
            default: break
            }
        }
    }

    private func end(_ signal: String) {
        guard models != nil else {
            // Nothing was admitted yet.
            shared.log.info("ended by \(signal) before the models were loaded")
            status = 0
            return
        }
        guard drainDeadline == nil else {
            shared.log.warning("ended by a second \(signal): \(unansweredCount) requests are lost")
            status = 1
            return
        }
        drainDeadline = .now + shared.configuration.drainTimeout
        shared.batcher.drain()
        shared.observer.willDrain()
        for listener in listeners.values { loop.poller.remove(listener.descriptor) }
        listeners = [:]
        for candidate in candidates { close(candidate.descriptor) }
        candidates = []
        shared.log.info("draining after \(signal)", [.init("requests", .int(unansweredCount))])
        order(.drain)
    }

    /// Requests that were admitted, or wait for their images to be decoded, and are not answered.
    private var unansweredCount: Int {
        let waiting = shared.batcher.read { $0.jobCount } + shared.images.jobCount
        // A reply may still be being written, or on its way, to a connection that may be gone.
        return max(waiting, shared.loops.reduce(0) { $0 + $1.inFlight.current })
    }

    /// When the time for draining is over. Once it is, a loop that has not looked yet wakes the server.
    var nextEnd: ContinuousClock.Instant? { isDrainOver ? nil : drainDeadline }

    /// Ends the server once everybody has what is theirs, or the time for it is over.
    func judgeDrain(_ now: ContinuousClock.Instant) {
        guard let deadline = drainDeadline else { return }
        // Whoever is owed nothing may stay for a moment, but not keep the server.
        let isOver = deadline <= now
        isDrainOver = isOver
        let busy = shared.loops.map { $0.busy.current }
        // A loop that has not looked will say so in a moment.
        guard !isOver || busy.allSatisfy({ $0 >= 0 }) else { return }
        let left = isOver ? busy.reduce(0, +) : shared.connectionCount
        if shared.batcher.read({ $0.isDrained }), left == 0 {
            shared.log.info("drained")
            status = 0
        } else if isOver {
            let untaken = shared.loops.reduce(0) { $0 + $1.untaken.current }
            shared.log.warning(
                "the drain timeout is over: \(unansweredCount) requests are lost, and what \(untaken) connections "
                    + "have not taken of their replies")
            status = 1
        }
    }
}

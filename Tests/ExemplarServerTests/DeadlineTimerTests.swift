import Batching
import CPlatform
import ExemplarNetwork
import Glibc
import JSONRPC
import TestSupport
import Testing

@testable import ExemplarServer

/// Deadlines end by a timer of their own: not when something else happens to wake the event loop.
@Suite struct DeadlineTimerTests {
    /// An event loop whose server has neither workers nor a decoder: whatever is admitted waits.
    private func loop(_ model: TemporaryModel) throws -> EventLoop {
        var configuration = ServerConfiguration(models: .single(model.path))
        configuration.eventLoops = 1
        let shared = try SharedState(configuration, threads: 1, token: nil)
        let models = try ModelSet.load(
            configuration, threads: 1, memory: ModelMemory(budget: shared.memory, passes: shared.passes))
        _ = shared.models.replace(with: models)
        let worker = Worker(
            batcher: shared.batcher, outbox: shared.outbox, statistics: shared.statistics, crew: nil,
            passes: shared.passes, progressInterval: .seconds(1))
        return try EventLoop(0, shared, worker)
    }

    @Test(arguments: [false, true]) func theLoopSleepsUntilTheEarliestDeadline(isImage: Bool) throws {
        let oracle = Oracle.tiny()
        let model = try TemporaryModel(oracle)
        let loop = try loop(model)
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        #expect(socketpair(AF_UNIX, type, 0, &ends) == 0)
        defer { close(ends[0]) }
        // The connection closes its end itself.
        loop.figures.connections.add(1)
        loop.take(.open(ends[1], ConnectionID(EventLoop.firstConnection)))
        #expect(loop.nextTime == nil)

        let name = isImage ? "images" : "patches"
        let input = #""\#(name)":["\#(base64(isImage ? try oracle.file(1) : oracle.patch(1)))"]"#
        // The later one first. Time enough for this test to be kept from its core before they are admitted.
        for (id, milliseconds) in [(1, 600_000), (2, 1000)] {
            let line =
                #"{"jsonrpc":"2.0","id":\#(id),"method":"embed","params":{\#(input),"deadline_ms":\#(milliseconds)}}"#
                + "\n"
            try #require(send(ends[0], line, line.utf8.count, Int32(MSG_NOSIGNAL)) == line.utf8.count)
            loop.handle(loop.nextEvents(until: nil))
        }
        let next = isImage ? loop.shared.images.nextDeadline : loop.shared.batcher.nextDeadline
        let deadline = try #require(next)
        #expect(deadline < .now + .seconds(100))
        // No sweep is due that might come first.
        #expect(loop.nextSweep == nil && loop.nextTime == deadline)

        var reply = [UInt8](repeating: 0, count: 1000)
        var count = -1
        while count < 0, .now < deadline + .seconds(Patience.seconds) {
            loop.endTurn()
            count = recv(ends[0], &reply, reply.count, Int32(MSG_DONTWAIT))
            if count < 0 { loop.handle(loop.nextEvents(until: nil)) }
        }
        let text = String(decoding: reply.prefix(max(0, count)), as: UTF8.self)
        let answer = try TestReply(String(text.dropLast()))
        #expect(answer.id == 2 && answer.code == -32008, "\(text)")
    }
}

import Batching
import ExemplarNetwork
import Glibc
import JSONRPC
import Platform
import Synchronization
import TestSupport
import Testing

@testable import ExemplarServer

/// One patch on idle cores: a worker computes it with the crew where that pays, and alone where it does not.
@Suite struct SharedBatchTests {
    /// The processor time of a crew's assistant: blocked, it takes none.
    private final class AssistantClock: Sendable {
        /// With its folder, below /proc.
        private let thread = Mutex<(clock: clockid_t, folder: String)?>(nil)

        /// On the assistant's thread.
        func begin() {
            var clock = clockid_t()
            var path = [CChar](repeating: 0, count: 100)
            let count = readlink("/proc/thread-self", &path, path.count)
            guard pthread_getcpuclockid(pthread_self(), &clock) == 0, count > 0 else { return }
            let folder = String(decoding: path[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            thread.withLock { $0 = (clock, folder) }
        }

        /// Waits until it sleeps; how many nanoseconds it has run by then.
        func waitUntilIdle() throws -> Int {
            var time = timespec()
            try waitUntil("the assistant never sleeps") {
                guard let thread = thread.withLock({ $0 }) else { return false }
                // One that waits for a core takes no time either, and is no sleeper.
                let status = kernelFile("/proc/\(thread.folder)/stat")
                let state = status?.split(separator: ")").last?.split(separator: " ").first
                return state == "S" && clock_gettime(thread.clock, &time) == 0
            }
            return time.tv_sec * 1_000_000_000 + time.tv_nsec
        }
    }

    private func convolution(_ outChannels: Int, stride: Int, channels: Int) -> Oracle {
        .random(
            NetworkConfiguration(
                name: "conv", input: .init(height: 32, width: 32, channels: channels),
                preprocessing: .init(
                    scale: 1.0 / 255, mean: Array(repeating: 0.4, count: channels),
                    std: Array(repeating: 0.3, count: channels)),
                layers: [
                    LayerConfiguration(
                        name: "conv1",
                        kind: .convolution(
                            outChannels: outChannels, kernel: Extent(7, 7), stride: Extent(stride, stride),
                            padding: Extent(3, 3), activation: .relu))
                ], embedding: "conv1"),
            seed: 7)
    }

    /// The task of one patch.
    private func task(_ oracle: Oracle, _ models: ModelSet, _ shared: SharedState) throws -> InferenceTask {
        var parser = RequestParser()
        return try Array(oracle.embedLine().utf8).withUnsafeBytes { bytes in
            guard case .single(let incoming) = parser.parse(bytes) else { throw TestFailure("a batch") }
            let outcome = shared.handler.outcome(
                of: try incoming.request.get(), models: models, isDraining: false, readiness: { .ready },
                isAuthorized: true,
                address: ReplyAddress(loop: 0, connection: ConnectionID(1), id: RequestID(1), batch: nil),
                arrival: .now, statistics: { ByteBuffer() })
            guard case .work(let task, _) = outcome else { throw TestFailure("no work") }
            return task
        }
    }

    /// Whether a patch that comes alone is shared: where its members have to be woken, and where they are awake.
    @Test(arguments: [
        (outChannels: 64, stride: 1, channels: 4, asleep: true, awake: true),
        (outChannels: 32, stride: 2, channels: 3, asleep: false, awake: true),
        (outChannels: 4, stride: 2, channels: 3, asleep: false, awake: false),
    ])
    func aPatchAloneIsSharedWhereThatPays(
        outChannels: Int, stride: Int, channels: Int, asleep: Bool, awake: Bool
    ) throws {
        let oracle = convolution(outChannels, stride: stride, channels: channels)
        let model = try TemporaryModel(oracle, golden: 0)
        var configuration = ServerConfiguration(models: .single(model.path))
        configuration.eventLoops = 1
        let shared = try SharedState(configuration, threads: 2, token: nil)
        let models = try ModelSet.load(
            configuration, threads: 2, memory: ModelMemory(budget: shared.memory, passes: shared.passes))
        let clock = AssistantClock()
        let crew = try Crew(count: 2) { body in
            startThread {
                clock.begin()
                body()
            }
        }
        let worker = Worker(
            batcher: shared.batcher, outbox: shared.outbox, statistics: shared.statistics, crew: crew,
            passes: shared.passes, progressInterval: .seconds(1))
        var scratch = Worker.Scratch()
        var replies: Set<String> = []
        for (expectsMore, isShared) in [(false, asleep), (true, awake)] {
            let before = try clock.waitUntilIdle()
            let job = InferenceJob(task: try task(oracle, models, shared))
            try #require(shared.batcher.admit(job, deadline: nil) == .admitted)
            let batch = try #require(shared.batcher.next())
            #expect(batch.isShared == asleep)
            guard case .reply(_, let reply, nil)? = worker.complete(batch, &scratch, expectsMore: expectsMore).first
            else { throw TestFailure("no reply") }
            replies.insert(reply.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
            #expect((try clock.waitUntilIdle() > before) == isShared, "where more is expected: \(expectsMore)")
        }
        #expect(replies.count == 1, "shared or not, the bits are the same")
    }
}

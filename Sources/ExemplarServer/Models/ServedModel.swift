import Batching
import ExemplarNetwork
import JSONRPC
import Synchronization

/// A loaded model with the memory to run it in, one embedder for each worker.
final class ServedModel: Sendable {
    let model: Model
    let embedders: EmbedderPool
    /// Threads that can share one batch or image.
    private let members: Int
    /// Patches that all workers compute together, at most.
    let sharedBatch: Int
    /// Whether a single patch is computed by all workers together where they are awake.
    let sharesSingles: Bool
    /// Draws of one request that may be under way beyond the first that is not computed: a batch for every worker, and
    /// one for that which is done first.
    let lead: Int
    /// Bytes of the weights and of the workers' maps.
    let byteCount: Int
    /// What the method `model` answers, written once: a single line may ask for it a thousand times.
    let description: ByteBuffer
    /// Bytes of labels as replies have them: of the longest, and of all.
    private let labelByteCounts: (longest: Int, all: Int)

    /// Loads `folder` and plans `threads` embedders, so that nothing is left to fail once the server is ready.
    ///
    /// - Parameter memory: what everything is taken from, piece by piece, each before it is allocated.
    init(
        folder: String, options: ModelOptions, threads: Int, maxBatch: Int, memory: ModelMemory
    ) throws(ModelError) {
        model = try Model.load(folder: folder, options: options, memory: memory)
        var embedders: [Embedder] = []
        members = min(threads, Crew.most)
        lead = (threads + 1) * maxBatch
        sharedBatch = model.sharedBatch(members: members)
        sharesSingles = model.isWorthSharing(members: members)
        for index in 0..<threads {
            // There is one crew, so that one embedder with memory for all of its members is enough.
            embedders.append(
                try model.makeEmbedder(maximumBatch: maxBatch, members: index == 0 ? members : 1, memory: memory))
        }
        byteCount = embedders.reduce(model.weightByteCount) { $0 + $1.byteCount }
        self.embedders = EmbedderPool(embedders)
        let counts = (model.labels ?? []).map(ByteBuffer.byteCount(ofJSONString:))
        labelByteCounts = (counts.max() ?? 0, counts.reduce(0, +))
        description = Self.description(of: model, threads: threads, longestLabel: labelByteCounts.longest)
    }

    var name: String { model.configuration.name }

    /// At most how many bytes the labels of `count` classes take in a reply.
    func labelByteCount(_ count: Int) -> Int { min(count * labelByteCounts.longest, labelByteCounts.all) }

    private let retired = Atomic<Bool>(false)

    /// Whether other models have taken its place: it serves what was admitted, and nothing is kept for it.
    var isRetired: Bool { retired.load(ordering: .acquiring) }

    func retire() { retired.store(true, ordering: .releasing) }

    /// An embedder for images of this size, whose memory is taken already.
    func makeImageEmbedder(height: Int, width: Int) throws(ModelError) -> Embedder {
        try model.makeEmbedder(maximumBatch: 1, height: height, width: width, members: members, memory: TakenMemory())
    }

    /// What such an embedder takes.
    func imageByteCount(height: Int, width: Int) throws(ModelError) -> Int {
        try model.embedderByteCount(maximumBatch: 1, height: height, width: width, members: members)
    }
}

/// The memory that models are loaded into: of the process's limit, what nothing else holds.
struct ModelMemory: MemorySource {
    let budget: MemoryBudget
    let passes: ImagePasses

    func take(_ byteCount: Int, for subject: String, advice: String) throws(ModelError) -> (any MemoryShare)? {
        // What is only kept for later images makes way.
        passes.forget()
        return try budget.takeModel(byteCount, for: subject, advice: advice)
    }
}

import Batching
import ExemplarNetwork
import Glibc
import JSONRPC
import Platform
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

/// An embedder on its way between two owners.
private struct Loan: @unchecked Sendable {
    let embedder: Embedder

    init(_ embedder: Embedder) { self.embedder = embedder }
}

/// Embedders that no worker is using. There are as many as workers, and each worker uses one at a time; the first is
/// the one that a crew can share.
final class EmbedderPool: @unchecked Sendable {
    // Unchecked: an embedder belongs to whoever took it out.
    private let idle: Monitor<[Embedder]>

    init(_ embedders: sending [Embedder]) { idle = Monitor(embedders) }

    /// Runs `body` with an embedder of its own.
    ///
    /// - Parameter isShared: takes the one that a crew can share, if it is idle; everybody else leaves it to the last.
    func with<Result>(isShared: Bool = false, _ body: (Embedder) -> Result) -> Result {
        let embedder = idle.wait { idle in
            (isShared ? idle.first : idle.last).map { _ in Loan(isShared ? idle.removeFirst() : idle.removeLast()) }
        }.embedder
        defer {
            let loan = Loan(embedder)
            idle.withLockWaking { idle in
                idle.insert(loan.embedder, at: loan.embedder.canBeShared ? 0 : idle.endIndex)
                return ((), waking: idle.count)
            }
        }
        return body(embedder)
    }
}

extension ModelSet {
    /// Frees the models on a thread of their own as soon as nothing that was admitted needs them: unmapping hundreds of
    /// megabytes would hold up the event loop.
    ///
    /// - Parameter didFree: called on that thread once they are gone.
    /// - Returns: false where there is no thread: then they are freed wherever their last reference goes.
    func retire(_ passes: ImagePasses, didFree: @escaping @Sendable () -> Void) -> Bool {
        for served in models.values { served.retire() }
        let bin = DisposalBin(Array(models.values))
        let isStarted = startThread {
            passes.forget()
            bin.empty()
            passes.capacityGrew()
            didFree()
        }
        if !isStarted { passes.forget() }
        return isStarted
    }
}

/// Objects that are to be freed by the thread that empties the bin, as soon as nobody else refers to them.
final class DisposalBin<Object: AnyObject & Sendable>: Sendable {
    private let objects: Monitor<[Object]>

    init(_ objects: [Object]) { self.objects = Monitor(objects) }

    func empty() {
        // Out of the lock: a reference that is left in there would be another.
        var objects = objects.withLock { objects in
            defer { objects = [] }
            return objects
        }
        while !objects.isEmpty {
            for index in objects.indices.reversed() where isKnownUniquelyReferenced(&objects[index]) {
                objects.remove(at: index)
            }
            if !objects.isEmpty { usleep(20_000) }
        }
    }
}

/// The models that a server serves, by name; replaced as a whole when the server reloads.
struct ModelSet: Sendable {
    let models: [String: ServedModel]
    let defaultName: String
    /// In the order of their names.
    let sorted: [ServedModel]
    /// What the method `models` answers.
    let description: ByteBuffer

    init(models: [String: ServedModel], defaultName: String) {
        self.models = models
        self.defaultName = defaultName
        sorted = models.values.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        description = Self.description(of: sorted, defaultName: defaultName)
    }

    /// Bytes of weights and of the workers' maps.
    var byteCount: Int { models.values.reduce(0) { $0 + $1.byteCount } }

    /// The model called `name`, the default model for nil.
    subscript(name: String?) -> ServedModel? { models[name ?? defaultName] }

    /// Loads and tests every model that `configuration` names.
    ///
    /// - Throws: `ModelError` where there is none, two have one name, or one cannot be loaded.
    static func load(
        _ configuration: ServerConfiguration, threads: Int, memory: ModelMemory
    ) throws(ModelError) -> ModelSet {
        let folders: [String]
        switch configuration.models {
        case .single(let folder): folders = [folder]
        case .folder(let parent): folders = try modelFolders(in: parent)
        }
        var models: [String: ServedModel] = [:]
        var places: [String: String] = [:]
        for folder in folders {
            let served = try ServedModel(
                folder: folder, options: configuration.options, threads: threads, maxBatch: configuration.maxBatch,
                memory: memory)
            if let other = places[served.name] {
                throw ModelError("\(folder) and \(other) are both called \(served.name): rename one in its config.json")
            }
            models[served.name] = served
            places[served.name] = folder
        }
        guard let first = models.keys.min() else { throw ModelError("There is no model to serve") }
        if let wanted = configuration.defaultModel, models[wanted] == nil {
            let names = models.keys.sorted().joined(separator: ", ")
            throw ModelError("--default-model \(wanted) is not among the models, which are \(names)")
        }
        return ModelSet(models: models, defaultName: configuration.defaultModel ?? first)
    }

    /// The sub-folders of `parent` that have a `config.json`, by name.
    static func modelFolders(in parent: String) throws(ModelError) -> [String] {
        guard let directory = opendir(parent) else {
            throw ModelError(
                "\(parent): cannot be read: \(errorText()). Give --models a folder of model folders, or --model one of "
                    + "them"
            )
        }
        defer { closedir(directory) }
        var folders: [String] = []
        while true {
            // The end of the list, and an error, are told apart by this alone.
            errno = 0
            guard let entry = readdir(directory) else { break }
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            // The last is a file system's own, at the root of a volume, and closed to anybody else.
            guard ![".", "..", "lost+found"].contains(name) else { continue }
            let file = "\(parent)/\(name)/config.json"
            if access(file, F_OK) == 0 {
                folders.append("\(parent)/\(name)")
            } else if errno != ENOENT, errno != ENOTDIR {
                // Left out, it would be a model that is not there any more.
                throw ModelError("\(file): cannot be read: \(errorText())")
            }
        }
        guard errno == 0 else { throw ModelError("\(parent): cannot be read: \(errorText())") }
        guard !folders.isEmpty else {
            throw ModelError("\(parent): none of its sub-folders has a config.json, so there is no model to serve")
        }
        return folders.sorted()
    }
}

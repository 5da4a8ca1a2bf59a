import Batching
import ExemplarNetwork
import Glibc

/// A loaded model with the memory to run it in, one embedder for each worker.
final class ServedModel: Sendable {
    let model: Model
    let embedders: EmbedderPool
    /// Threads that can share one batch or image.
    private let members: Int
    /// Patches that all workers compute together, at most. More workers than a crew has are better off apart, but for a
    /// single patch.
    let sharedBatch: Int

    /// Loads `folder` and plans `threads` embedders, so that nothing is left to fail once the server is ready.
    init(folder: String, options: ModelOptions, threads: Int, maxBatch: Int) throws(ModelError) {
        model = try Model.load(folder: folder, options: options)
        var embedders: [Embedder] = []
        members = min(threads, ServerConfiguration.maxCrew)
        let sharedBatch = model.sharedBatch(members: members)
        self.sharedBatch = threads > members ? min(sharedBatch, 1) : sharedBatch
        for _ in 0..<threads {
            embedders.append(try model.makeEmbedder(maximumBatch: maxBatch, members: members))
        }
        self.embedders = EmbedderPool(embedders)
    }

    var name: String { model.configuration.name }

    // MARK: Larger images

    /// Embedders for images that were met lately, the last one last.
    private let imageEmbedders = EmbedderShelf()

    /// An embedder for images of this size: one that was kept, or a new one.
    func imageEmbedder(height: Int, width: Int) throws(ModelError) -> Embedder {
        if let embedder = imageEmbedders.take(height: height, width: width) { return embedder }
        return try model.makeEmbedder(maximumBatch: 1, height: height, width: width, members: members)
    }

    /// Keeps an embedder for the next image of its size.
    func keep(_ embedder: Embedder) { imageEmbedders.put(embedder) }
}

/// A few embedders for images, by size. Unchecked: an embedder belongs to whoever took it.
private final class EmbedderShelf: @unchecked Sendable {
    private let kept = Monitor<[Embedder]>([])
    private static let capacity = 2

    func take(height: Int, width: Int) -> Embedder? {
        kept.withLock { kept in
            let index = kept.lastIndex { $0.inputShape.height == height && $0.inputShape.width == width }
            return index.map { Loan(kept.remove(at: $0)) }
        }?.embedder
    }

    func put(_ embedder: Embedder) {
        let loan = Loan(embedder)
        kept.withLock { kept in
            if kept.count == Self.capacity { kept.removeFirst() }
            kept.append(loan.embedder)
        }
    }
}

/// An embedder on its way between two owners.
private struct Loan: @unchecked Sendable {
    let embedder: Embedder

    init(_ embedder: Embedder) { self.embedder = embedder }
}

/// Embedders that no worker is using. There are as many as workers, and each worker uses one at a time.
final class EmbedderPool: @unchecked Sendable {
    // Unchecked: an embedder belongs to whoever took it out.
    private let idle: Monitor<[Embedder]>

    init(_ embedders: sending [Embedder]) { idle = Monitor(embedders) }

    /// Runs `body` with an embedder of its own.
    func with<Result>(_ body: (Embedder) -> Result) -> Result {
        let embedder = idle.wait { $0.popLast().map(Loan.init) }.embedder
        defer {
            let loan = Loan(embedder)
            idle.withLock { $0.append(loan.embedder) }
            idle.notify()
        }
        return body(embedder)
    }
}

/// The models that a server serves, by name; replaced as a whole when the server reloads.
struct ModelSet: Sendable {
    let models: [String: ServedModel]
    let defaultName: String

    /// In the order of their names.
    var sorted: [ServedModel] { models.values.sorted { $0.name < $1.name } }

    /// The model called `name`, the default model for nil.
    subscript(name: String?) -> ServedModel? { models[name ?? defaultName] }

    /// Loads and tests every model that `configuration` names.
    ///
    /// - Throws: `ModelError` where there is none, two have one name, or one cannot be loaded.
    static func load(_ configuration: ServerConfiguration, threads: Int) throws(ModelError) -> ModelSet {
        let folders: [String]
        switch configuration.models {
        case .single(let folder): folders = [folder]
        case .folder(let parent): folders = try modelFolders(in: parent)
        }
        var models: [String: ServedModel] = [:]
        var places: [String: String] = [:]
        for folder in folders {
            let served = try ServedModel(
                folder: folder, options: configuration.options, threads: threads, maxBatch: configuration.maxBatch)
            if let other = places[served.name] {
                throw ModelError("\(folder) and \(other) are both called \(served.name): rename one in its config.json")
            }
            models[served.name] = served
            places[served.name] = folder
        }
        guard let first = models.keys.min() else { throw ModelError("There is no model to serve") }
        if let wanted = configuration.defaultModel, models[wanted] == nil {
            throw ModelError(
                "--default-model \(wanted) is not among the models, which are \(models.keys.sorted().joined(separator: ", "))"
            )
        }
        return ModelSet(models: models, defaultName: configuration.defaultModel ?? first)
    }

    /// The sub-folders of `parent` that have a `config.json`, by name.
    static func modelFolders(in parent: String) throws(ModelError) -> [String] {
        guard let directory = opendir(parent) else {
            throw ModelError(
                "\(parent): cannot be read: \(errorText()). Give --models a folder of model folders, or --model one of them"
            )
        }
        defer { closedir(directory) }
        var folders: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != "..", access("\(parent)/\(name)/config.json", F_OK) == 0 {
                folders.append("\(parent)/\(name)")
            }
        }
        guard !folders.isEmpty else {
            throw ModelError("\(parent): none of its sub-folders has a config.json, so there is no model to serve")
        }
        return folders.sorted()
    }
}

import Batching
import ExemplarNetwork
import Glibc
import JSONRPC
import Platform

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
    subscript(name: String?) -> ServedModel? {
        guard let name else { return models[defaultName] }
        // Byte for byte, since a client sent it: to hash what it means in Unicode may take hours.
        return sorted.first { $0.name.utf8.elementsEqual(name.utf8) }
    }

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
            let bytes = withUnsafeBytes(of: entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            guard let name = String(validating: bytes, as: UTF8.self) else {
                // Whatever else has such a name is none of ours.
                let file = (bytes + "/config.json\0".utf8).map { CChar(bitPattern: $0) }
                guard faccessat(dirfd(directory), file, F_OK, 0) == 0 else { continue }
                throw ModelError(
                    "\(parent): the folder \(String(decoding: bytes, as: UTF8.self)) has a name that is not UTF-8: "
                        + "rename it")
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

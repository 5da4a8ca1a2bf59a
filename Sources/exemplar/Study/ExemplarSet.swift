import ExemplarNetwork
import FoundationEssentials
import Images
import Safetensors
import Transformations

/// The patches that a study is made on, with their surroundings.
struct ExemplarSet: Sendable {
    var contexts: [Context]
    /// Which row of the head is which patch's own; nil where they are no exemplars of this network.
    var rows: [Int]?
}

extension ExemplarSet {
    /// Reads `path`: a folder of photographs or patches, or a file as a model's `exemplars.safetensors`, which
    /// docs/model-format.md describes. Without a path, the model's own.
    ///
    /// - Parameter count: the most patches: of a file the first, of photographs equally many of each.
    init(_ path: String?, model: Model, folder: String, count: Int) throws(CommandError) {
        let own = folder + "/exemplars.safetensors"
        let path = path ?? own
        var isFolder = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw .failure(
                path == own
                    ? "\(own) does not exist: give patches with --exemplars, a file of that kind or a folder of "
                        + "photographs."
                    : "\(path) does not exist: --exemplars is a file like a model's exemplars.safetensors, or a folder "
                        + "of photographs.")
        }
        if isFolder {
            try self.init(photographs: path, model: model, count: count)
        } else {
            try self.init(file: path, model: model, count: count)
        }
    }

    private init(file path: String, model: Model, count: Int) throws(CommandError) {
        let shape = model.configuration.input
        let file = try explained { () throws(ModelError) in try SafetensorsFile(path, from: MemoryLimit.current()) }
        guard let patches = file.tensors["patches"], patches.type == .uint8, patches.shape.count == 4,
            patches.shape[0] > 0, patches.shape[1] >= shape.height, patches.shape[2] >= shape.width,
            patches.shape[3] == shape.channels
        else {
            throw .failure(
                "\(path): the tensor patches is missing or is not U8 [M, H, W, \(shape.channels)] with H at least "
                    + "\(shape.height) and W at least \(shape.width), what \(model.configuration.name) reads.")
        }
        guard patches.shape[1] <= Photograph.maximumPixels / patches.shape[2] else {
            throw .failure(
                "\(path): its patches are of \(patches.shape[1]) × \(patches.shape[2]), more than "
                    + "\(Photograph.maximumPixels) pixels: cut them smaller.")
        }
        let bytes = file.bytes(of: patches)
        let size = bytes.count / patches.shape[0]
        let taken = min(patches.shape[0], count)
        var memory = MemoryLimit.current()
        memory.taken = file.bytes.count
        try explained { () throws(ModelError) in
            try memory.check(taken * size, for: "The patches of \(path)", advice: "take a smaller file")
        }
        contexts = (0..<taken).map { index in
            Context(
                height: patches.shape[1], width: patches.shape[2],
                pixels: Array(bytes[index * size..<(index + 1) * size]))
        }
        // Of a network without a head they are nobody's rows.
        if let index = file.tensors["index"], let head = model.description.exemplars {
            let all = try Self.rows(file, index, path: path, patches: patches.shape[0], model: model, head: head)
            rows = Array(all.prefix(count))
        }
    }

    private static func rows(
        _ file: SafetensorsFile, _ index: SafetensorsFile.Tensor, path: String, patches: Int, model: Model, head: Int
    ) throws(CommandError) -> [Int] {
        guard index.type == .int32, index.shape == [patches] else {
            throw .failure(
                "\(path): the tensor index is \(index.type.rawValue) \(index.shape); it must be I32 [\(patches)], one "
                    + "row of the head for each patch.")
        }
        let bytes = file.bytes(of: index)
        let rows = (0..<patches).map {
            Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)))
        }
        if let wrong = rows.first(where: { !(0..<head).contains($0) }) {
            throw .failure(
                "\(path): index names row \(wrong); the head of \(model.configuration.name) has \(head) rows.")
        }
        guard Set(rows).count == rows.count else {
            throw .failure("\(path): index names a row of the head twice; each exemplar may be there once.")
        }
        return rows
    }

    /// The most patches taken from one photograph.
    private static let patchesPerPhotograph = 64

    /// Patches from a grid over each photograph, at most 64 of each.
    private init(photographs path: String, model: Model, count most: Int) throws(CommandError) {
        let shape = model.configuration.input
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            throw .failure("\(path) cannot be read: give a folder that this user may list.")
        }
        let images = names.sorted().filter { name in
            [".png", ".jpg", ".jpeg", ".webp"].contains { name.lowercased().hasSuffix($0) }
        }
        guard !images.isEmpty else {
            throw .failure("\(path) has no photographs: PNG, JPEG or WebP, named .png, .jpg, .jpeg or .webp.")
        }
        let margin = model.sampler?.ranges.margin(around: shape) ?? (0, 0)
        let share = min((most + images.count - 1) / images.count, Self.patchesPerPhotograph)
        contexts = []
        for name in images where contexts.count < most {
            let photograph = try Photograph(file: path + "/" + name, channels: shape.channels)
            let across = photograph.raster.width / shape.width
            let total = across * (photograph.raster.height / shape.height)
            guard total > 0 else {
                throw .failure(
                    "\(path)/\(name) is smaller than the patch of \(shape.width)×\(shape.height): take it out or "
                        + "enlarge it."
                )
            }
            let count = min(total, share, most - contexts.count)
            contexts += (0..<count).map { index in
                let place = index * total / count
                let position = PatchPosition(x: place % across * shape.width, y: place / across * shape.height)
                return Context(of: photograph, at: position, shape: shape, margin: margin)
            }
        }
    }
}

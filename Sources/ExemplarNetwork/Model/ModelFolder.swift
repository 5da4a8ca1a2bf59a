import CNettle
import Glibc
import Platform
public import Safetensors

/// The files of a model folder, read and checked, each error beginning with the file's path. What holds tensors is read
/// when it is asked for, so that its memory is held no longer than it is needed.
struct ModelFolder {
    let path: String
    let configuration: NetworkConfiguration
    let layers: [PlannedLayer]
    /// One line for each row of the head, where the folder has them.
    let labels: [String]?

    /// The longest `config.json` that is read: a thousand layers fit many times over.
    private static let maximumConfigurationLength = 1 << 20
    /// The longest `labels.txt` that is read.
    private static let maximumLabelsLength = 16 << 20

    init(path: String) throws(ModelError) {
        self.path = path
        let bytes = try Self.contents(
            of: path + "/config.json", limit: Self.maximumConfigurationLength,
            advice: ". A model is a folder with config.json and model.safetensors.")
        do {
            configuration = try bytes.withUnsafeBytes { bytes throws(ModelError) in
                try NetworkConfiguration.parse(bytes)
            }
        } catch {
            throw ModelError("\(path)/config.json: \(error)")
        }
        layers = try PlannedLayer.sequence(configuration)
        let head = layers.first { [configuration] in $0.configuration.name == configuration.head }
        labels = try Self.labels(path + "/labels.txt", rows: head?.output.channels)
    }

    /// Reads `model.safetensors`, which has the tensors that the layers want and no others.
    ///
    /// - Parameter memory: what the file is taken from for as long as the result lives.
    func weights(from memory: any MemorySource) throws(ModelError) -> SafetensorsFile {
        let file = path + "/model.safetensors"
        let weights = try SafetensorsFile(file, from: memory)
        try check(weights, file)
        return weights
    }

    /// Reads inputs and reference outputs, where the folder has them.
    ///
    /// - Parameter memory: what the file is taken from for as long as the result lives.
    func golden(from memory: any MemorySource) throws(ModelError) -> SafetensorsFile? {
        let file = path + "/golden.safetensors"
        return Self.isThere(file) ? try SafetensorsFile(file, from: memory) : nil
    }

    /// The shapes that the layers want, by tensor name.
    private var wantedShapes: [String: [Int]] {
        var wanted: [String: [Int]] = [:]
        for layer in layers {
            let name = layer.configuration.name
            switch layer.configuration.kind {
            case .convolution(let outChannels, let kernel, _, _, _):
                wanted[name + ".weight"] = [outChannels, layer.input.channels, kernel.height, kernel.width]
                wanted[name + ".bias"] = [outChannels]
            case .linear(let outFeatures, _):
                wanted[name + ".weight"] = [outFeatures, layer.input.count]
                wanted[name + ".bias"] = [outFeatures]
            case .maxPool:
                break
            }
        }
        return wanted
    }

    private func check(_ weights: SafetensorsFile, _ file: String) throws(ModelError) {
        let wanted = wantedShapes
        for (name, shape) in wanted.sorted(by: { $0.key < $1.key }) {
            guard let tensor = weights.tensors[name] else {
                throw ModelError("\(file): the tensor \(name) of shape \(shape) is missing")
            }
            guard tensor.shape == shape else {
                throw ModelError(
                    "\(file): the tensor \(name) has the shape \(tensor.shape); config.json wants \(shape)")
            }
            guard [.float32, .float16, .bfloat16].contains(tensor.type) else {
                throw ModelError(
                    "\(file): the tensor \(name) holds \(tensor.type.rawValue); weights must be F32, F16 or BF16")
            }
            guard weights.isFinite(tensor) else {
                throw ModelError(
                    "\(file): the tensor \(name) holds values that are no finite numbers (NaN or an infinity): train "
                        + "or export the model again")
            }
        }
        for (name, tensor) in weights.tensors.sorted(by: { $0.key < $1.key }) where wanted[name] == nil {
            throw ModelError(
                "\(file): the tensor \(name) of shape \(tensor.shape) belongs to no layer of config.json: remove it or "
                    + "add the layer")
        }
    }

    /// The lines of the file at `path`, nil where there is none.
    ///
    /// - Parameter rows: of the head, nil without one.
    private static func labels(_ path: String, rows: Int?) throws(ModelError) -> [String]? {
        guard isThere(path) else { return nil }
        guard let rows else {
            throw ModelError("\(path): config.json names no head whose rows could have labels: remove the file")
        }
        let bytes = try contents(of: path, limit: maximumLabelsLength)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ModelError("\(path): is not UTF-8: labels are one line of UTF-8 text for each row of the head")
        }
        // Of bytes, because Swift takes CR LF for one character, which is no line feed. Counted first: each line takes
        // more memory than the byte that it may be.
        let lineFeed = UInt8(ascii: "\n")
        let count = bytes.count { $0 == lineFeed } + (bytes.isEmpty || bytes.last == lineFeed ? 0 : 1)
        guard count == rows else {
            throw ModelError("\(path): has \(count) lines; the head of config.json has \(rows) rows")
        }
        return text.utf8.split(separator: lineFeed, omittingEmptySubsequences: false).prefix(count).map { line in
            String(Substring(line.last == UInt8(ascii: "\r") ? line.dropLast() : line))
        }
    }

    /// Whether the folder has a file of this name. One that cannot be read, or a link that leads nowhere, is there: to
    /// open it says what is wrong.
    private static func isThere(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 || errno != ENOENT
    }

    /// A whole file of at most `limit` bytes.
    ///
    /// - Parameter advice: for one that cannot be read.
    private static func contents(of path: String, limit: Int, advice: String = "") throws(ModelError) -> [UInt8] {
        // A pipe would wait for somebody to write into it, and all later reloads with it.
        var status = stat()
        guard stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG else {
            throw ModelError("\(path): is not a regular file")
        }
        guard let bytes = fileBytes(path, limit: limit + 1) else {
            throw ModelError("\(path): cannot be read: \(errorText())\(advice)")
        }
        guard bytes.count <= limit else {
            throw ModelError("\(path): is longer than \(limit) bytes, which is the most that is read")
        }
        return bytes
    }

    static func sha256(of bytes: UnsafeRawBufferPointer) -> String {
        var context = sha256_ctx()
        nettle_sha256_init(&context)
        nettle_sha256_update(&context, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        let digest = [UInt8](unsafeUninitializedCapacity: Int(SHA256_DIGEST_SIZE)) { buffer, count in
            nettle_sha256_digest(&context, buffer.count, buffer.baseAddress)
            count = buffer.count
        }
        let digits = Array("0123456789abcdef")
        return String(digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}

extension SafetensorsFile {
    /// Reads and validates the file at `path`, whole.
    ///
    /// - Parameter memory: what its bytes are taken from, before they are allocated and for as long as the file lives.
    /// - Throws: `ModelError` where there is not so much memory, or the file is not what it must be.
    public convenience init(_ path: String, from memory: any MemorySource) throws(ModelError) {
        do {
            let file = try OpenedFile(path: path)
            let share = try memory.take(
                file.safetensorsByteCount, for: "The tensors in \(path)", advice: "take a smaller file")
            try self.init(reading: file, holding: share)
        } catch let error as ModelError {
            throw error
        } catch {
            throw ModelError("\(error)")
        }
    }
}

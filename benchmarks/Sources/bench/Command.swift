import FoundationEssentials

/// One line of standard input.
struct Command: Decodable {
    enum Name: String, Decodable {
        case machine
        case load
        case outputs
        case run
        case multiplyAdd = "multiply_add"
        case read
    }

    var command: Name
    /// The model folder to load.
    var folder: String?
    /// Patches of one pass.
    var batch: Int?
    /// Whether each row of the batch is a fresh draw T_α of its patch, as for ĝ.
    var draws: Bool?
    /// One thread on each.
    var cores: [Int]?
    var accuracy: String?
    var instructionSet: String?
    /// Whether each kernel is timed; one thread only.
    var timed: Bool?
    /// Files of uint8 patches in, of float32 embeddings out.
    var patches: String?
    var output: String?
    var seconds: Double?
    var bytes: Int?

    enum CodingKeys: String, CodingKey {
        case command, folder, batch, draws, cores, accuracy, timed, patches, output, seconds, bytes
        case instructionSet = "instruction_set"
    }
}

/// One line of standard output; what does not apply is left out.
struct Reply: Encodable {
    var error: String?
    var instructionSets: [String]?
    /// Seconds of one pass.
    var median: Double?
    /// Of its cores' time that the process had: below 1 where others took it.
    var share: Double?
    /// Seconds of each kernel in the median and in the fastest pass, where timed.
    var kernels: [String: Double]?
    var fastestKernels: [String: Double]?
    /// Elements of a transformed tile.
    var tuples: Int?
    var gflops: Double?
    var bytesPerSecond: Double?

    enum CodingKeys: String, CodingKey {
        case error, median, share, kernels, tuples, gflops
        case instructionSets = "instruction_sets"
        case fastestKernels = "fastest_kernels"
        case bytesPerSecond = "bytes_per_second"
    }
}

/// Why a command was not done: one sentence.
struct CommandError: Error {
    var sentence: String

    init(_ sentence: String) { self.sentence = sentence }
}

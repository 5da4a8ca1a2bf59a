import ExemplarNetwork
import ExemplarServer
import JSONRPC
import Transformations

/// What every study is given: a model, patches and a seed.
struct Study: Sendable {
    var model: Model
    var exemplars: ExemplarSet
    var sampler: TransformationSampler
    var seed: UInt64
    var threads: Int

    /// - Parameter takesPhotographs: whether patches may be of photographs, which are no exemplars of the model.
    static func options(takesPhotographs: Bool) -> [Option] {
        let photographs = takesPhotographs ? ", or a folder of photographs" : ""
        return [
            Option("model", "FOLDER", default: "models/small", help: "The model folder"),
            Option(
                "exemplars", "PATH",
                help: "Patches: a file like a model's exemplars.safetensors\(photographs); without it, the "
                    + "model's own"),
            Option("seed", "NUMBER", default: 1, help: "Chooses the draws"),
            Option(
                "threads", "COUNT", environment: "EXEMPLAR_THREADS",
                help: "Threads; without it, one for each core that this process may use. The numbers are the same"),
            Option("json", help: "Write one line of JSON"),
            Option("plot", "FILE", help: "Also draw the result, as an SVG"),
        ]
    }

    /// Patches that a thread embeds at a time: enough that the linear layers are matrix products.
    private static let batch = 16
}

extension Study {
    /// - Parameter count: of the patches, at most so many.
    init(_ arguments: ParsedArguments, count: Int) throws(CommandError) {
        seed = UInt64(try arguments.integer("seed", in: TransformOptions.seeds))
        threads = try arguments.optionalInteger("threads", in: 1...1024) ?? UsableCores.current().count
        let folder = arguments.text("model")
        model = try LocalNetwork(folder: folder).network
        sampler = try model.study()
        exemplars = try ExemplarSet(arguments.value("exemplars"), model: model, folder: folder, count: count)
        try checkMemory()
    }

    /// Each thread's maps are asked for by themselves: this is whether all have room.
    private func checkMemory() throws(CommandError) {
        let patch = model.configuration.input
        let maps = try explained { () throws(ModelError) in
            try model.embedderByteCount(maximumBatch: Self.batch, height: patch.height, width: patch.width)
        }
        // No more than there is work for.
        let count = min(threads, exemplars.contexts.count)
        try checkMemory(count * maps, for: "The maps of \(count) threads", advice: "give fewer --threads")
    }

    /// - Throws: `CommandError` where there are not so many bytes beside the weights.
    func checkMemory(_ byteCount: Int, for subject: String, advice: String) throws(CommandError) {
        var limit = MemoryLimit.current()
        limit.taken = model.weightByteCount
        try explained { () throws(ModelError) in try limit.check(byteCount, for: subject, advice: advice) }
    }
}

extension Study {
    /// Sets of draws that have no draw in common. The server's draws under the same seed are the first of `evaluation`.
    enum Stream: UInt64 {
        case evaluation
        case fit
        case calibration
        case direction
    }

    /// Draws of its own for each exemplar: α of draw 0 ..< `count` in some of the steps.
    func draws(
        _ count: Int, of stream: Stream, exemplar: Int, steps: TransformationSteps = .all
    ) -> [Transformation] {
        draws(0..<count, of: stream, exemplar: exemplar, steps: steps)
    }

    /// Some of an exemplar's draws.
    func draws(
        _ range: Range<Int>, of stream: Stream, exemplar: Int, steps: TransformationSteps = .all
    ) -> [Transformation] {
        let first = stream.rawValue << 56 | UInt64(exemplar) << 24
        return range.map { sampler.draw(seed: seed, index: first | UInt64($0)).restricted(to: steps) }
    }

    /// `body` of every exemplar, on all threads, in the exemplars' order.
    func map<Result: Sendable>(
        unit: String, _ body: @escaping @Sendable (Int, Embedder) -> Result
    ) throws(CommandError) -> [Result] {
        try parallelMap(exemplars.contexts.count, threads: threads, unit: unit) {
            [model] () throws(CommandError) in
            try explained { () throws(ModelError) in try model.makeEmbedder(maximumBatch: Self.batch) }
        } _: { index, embedder in
            body(index, embedder)
        }
    }
}

extension Embedder {
    /// Calls `body` with the number and the row of each transformation of `context`.
    func forEachRow(
        of context: Context, _ transformations: [Transformation], border: TransformationBorder,
        _ selection: LayerSelection, _ body: (Int, UnsafeBufferPointer<Float>) -> Void
    ) {
        context.withInputs(transformations, border: border) { inputs in
            for start in stride(from: 0, to: inputs.count, by: maximumBatch) {
                let part = inputs[start..<min(start + maximumBatch, inputs.count)]
                let rows = embed(UnsafeBufferPointer(rebasing: part), selection)
                for row in 0..<rows.rows { body(start + row, rows[row]) }
            }
        }
    }
}

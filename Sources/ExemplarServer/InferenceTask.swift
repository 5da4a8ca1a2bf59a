import Batching
import ExemplarNetwork
import Glibc
import JSONRPC
import Transformations

/// One request on its way through the batcher: its inputs, and the rows as workers fill them in.
///
/// A task of n inputs and K draws has n · K units of work, unit i · K + k being draw k of input i. Shared by the event
/// loop, which makes it, and the workers, which compute slices of it. Unchecked: inputs are written before it is
/// admitted; without draws each row is written by the one worker that has its unit, and with draws under `lock`; and
/// the batcher's lock stands between the last unit and the reply.
final class InferenceTask: @unchecked Sendable {
    /// What is answered.
    enum Answer: Sendable {
        case embeddings(EmbedRequest.Encoding, EmbedRequest.Normalization)
        /// The most probable classes, this many.
        case classes(top: Int)
        /// The transformed patches themselves.
        case patches
    }

    let address: ReplyAddress
    let served: ServedModel
    let selection: LayerSelection
    let answer: Answer
    let draws: Draws?
    let arrival: ContinuousClock.Instant
    let inputs: InputBlock
    /// What the network's maps of each image take; empty where batches of patches run.
    let passByteCounts: [Int]
    let dimension: Int
    /// Of the reply, at most or nearly so.
    let replyByteCount: Int
    /// The task's part of the server's memory, taken before the task was made.
    private let lease: MemoryBudget.Lease
    /// Units before each input, and last all of them.
    private let unitStarts: [Int]
    private let rows: UnsafeMutableBufferPointer<Float>
    private var averages: [Average] = []
    private let pixels: UnsafeMutableBufferPointer<UInt8>
    private let lock = Monitor(Failure())

    private struct Failure {
        var error: ResponseError?
    }

    /// The mean over one input's draws, taken in their order whatever the order in which they are computed.
    private struct Average {
        let moments: RunningMoments
        /// Rows that came before their turn, by draw.
        var early: [Int: [Float]] = [:]
        /// Whether the tolerance is reached: later draws do not count.
        var isDone = false
    }

    init(
        address: ReplyAddress, served: ServedModel, selection: LayerSelection, answer: Answer, draws: Draws?,
        arrival: ContinuousClock.Instant, inputs: InputBlock, passByteCounts: [Int], replyByteCount: Int,
        lease: MemoryBudget.Lease
    ) {
        self.passByteCounts = passByteCounts
        self.lease = lease
        self.replyByteCount = replyByteCount
        self.address = address
        self.served = served
        self.selection = selection
        self.answer = answer
        self.draws = draws
        self.arrival = arrival
        self.inputs = inputs
        var isPixels = false
        if case .patches = answer { isPixels = true }
        dimension = isPixels ? 0 : served.model.dimension(of: selection)
        unitStarts = inputs.entries.reduce(into: [0]) { starts, entry in
            starts.append(starts[starts.count - 1] + InferenceTask.units(of: entry, draws: draws, model: served.model))
        }
        rows = .allocate(capacity: inputs.entries.count * dimension)
        let patchBytes = served.model.configuration.input.count
        pixels = .allocate(capacity: isPixels ? inputs.entries.count * (draws?.count ?? 0) * patchBytes : 0)
        if let draws, draws.count > 1, !isPixels {
            averages = inputs.entries.map { _ in Average(moments: RunningMoments(dimension: dimension)) }
        }
    }

    deinit {
        rows.deallocate()
        pixels.deallocate()
    }

    /// The work of one input, in patches: a draw each; and for an image over which the network runs, its area.
    static func units(of entry: InputBlock.Entry, draws: Draws?, model: Model) -> Int {
        if let draws { return draws.count }
        let patch = model.configuration.input
        return (entry.height * entry.width + patch.height * patch.width - 1) / (patch.height * patch.width)
    }

    /// All units.
    var unitCount: Int { unitStarts.last ?? 0 }

    /// Whether the network runs over whole images, one at a time, instead of batches of patches.
    var isOverImages: Bool { !passByteCounts.isEmpty }

    // MARK: For the workers

    /// The image that has this unit.
    func image(ofUnit unit: Int) -> Int {
        var (low, high) = (0, inputs.entries.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if unitStarts[middle] <= unit { low = middle } else { high = middle }
        }
        return low
    }

    /// From a unit to the end of its image.
    func restOfImage(from unit: Int) -> Range<Int> { unit..<unitStarts[image(ofUnit: unit) + 1] }

    /// The whole input `index` as it is.
    func input(_ index: Int) -> EmbedderInput {
        let entry = inputs.entries[index]
        return EmbedderInput(pixels: inputs.pixels(of: index), height: entry.height, width: entry.width)
    }

    /// What a unit feeds into the network; nil where nobody waits for it any more.
    func input(ofUnit unit: Int) -> EmbedderInput? {
        guard let draws else { return input(unit) }
        let (index, draw) = (unit / draws.count, unit % draws.count)
        if draws.tolerance != nil, lock.withLock({ _ in index < averages.count && averages[index].isDone }) {
            return nil
        }
        var input = input(index)
        input.transformation = draws.transformations[draw]
        input.border = draws.border
        return input
    }

    /// Takes the row of a unit.
    func take(_ row: UnsafeBufferPointer<Float>, ofUnit unit: Int) {
        guard let draws, draws.count > 1 else {
            set(row, ofInput: unit)
            return
        }
        let (index, draw) = (unit / draws.count, unit % draws.count)
        lock.withLock { _ in
            guard !averages[index].isDone else { return }
            guard draw == averages[index].moments.count else {
                averages[index].early[draw] = Array(row)
                return
            }
            add(row, to: index, draws)
            while let early = averages[index].early.removeValue(forKey: averages[index].moments.count) {
                guard !averages[index].isDone else { break }
                early.withUnsafeBufferPointer { add($0, to: index, draws) }
            }
        }
    }

    private func add(_ row: UnsafeBufferPointer<Float>, to index: Int, _ draws: Draws) {
        let moments = averages[index].moments
        moments.add(row)
        guard let tolerance = draws.tolerance, moments.count % Draws.toleranceStep == 0 else { return }
        if let error = moments.relativeError, error <= tolerance {
            averages[index].isDone = true
            averages[index].early = [:]
        }
    }

    /// Takes the row of an input that has no draws to average over.
    func set(_ row: UnsafeBufferPointer<Float>, ofInput index: Int) {
        guard let target = rows.baseAddress, let source = row.baseAddress, row.count == dimension else { return }
        (target + index * dimension).update(from: source, count: dimension)
    }

    /// Computes the transformed pixels of a unit.
    func transform(unit: Int) {
        guard let target = pixels.baseAddress, let input = input(ofUnit: unit) else { return }
        served.model.transform(input, into: target + unit * served.model.configuration.input.count)
    }

    /// The whole request fails; the first reason stands.
    func fail(_ error: ResponseError) {
        lock.withLock { $0.error = $0.error ?? error }
    }

    /// Whether the reply is an error already.
    var hasFailed: Bool { lock.withLock { $0.error != nil } }

    // MARK: The reply

    /// The reply, once every unit is computed, and whether it is an error.
    func reply() -> (reply: ByteBuffer, error: ErrorCode?) {
        var buffer = ByteBuffer()
        let failure = lock.withLock { $0.error }
        address.write(failure.map { .failure($0) } ?? content(), to: &buffer)
        return (buffer, failure?.code)
    }

    private func content() -> Response.Content {
        for (index, average) in averages.enumerated() {
            for offset in 0..<dimension { rows[index * dimension + offset] = average.moments.mean(offset) }
        }
        switch answer {
        case .embeddings(let encoding, let normalize):
            if normalize == .l2 { for index in inputs.entries.indices { normalizeRow(index) } }
            return .embeddings(
                EmbeddingResult(
                    model: served.name, layers: served.model.names(of: selection), dimension: dimension,
                    encoding: encoding, values: UnsafeBufferPointer(rows),
                    transform: draws.map { description(of: $0, encoding) }))
        case .classes(let top): return .result(classes(top: top))
        case .patches: return .result(patches())
        }
    }

    private func normalizeRow(_ index: Int) {
        let range = index * dimension..<(index + 1) * dimension
        let square = range.reduce(0.0) { $0 + Double(rows[$1]) * Double(rows[$1]) }
        guard square > 0 else { return }
        let factor = 1 / square.squareRoot()
        for offset in range { rows[offset] = Float(Double(rows[offset]) * factor) }
    }

    private func description(of draws: Draws, _ encoding: EmbedRequest.Encoding) -> JSONValue {
        let counts = averages.isEmpty ? inputs.entries.map { _ in draws.count } : averages.map(\.moments.count)
        var members: [JSONValue.Member] = [
            .init("mode", .string(draws.mode)), .init("seed", draws.seed.map(JSONValue.int) ?? .null),
            .init("samples", .array(counts.map(JSONValue.int))),
            .init(
                "standard_error",
                .array(
                    inputs.entries.indices.map { index in
                        averages.isEmpty ? .null : averages[index].moments.standardError.map(JSONValue.double) ?? .null
                    })),
        ]
        if draws.wantsStandardErrors {
            let errors = inputs.entries.indices.map { index -> JSONValue in
                guard !averages.isEmpty, averages[index].moments.count > 1 else { return .null }
                let values = (0..<dimension).map { averages[index].moments.standardError($0) }
                return encoding == .float ? .array(values.map(JSONValue.shortest)) : .base64(values)
            }
            members.append(.init("standard_errors", .array(errors)))
        }
        return .object(members)
    }

    private func classes(top: Int) -> JSONValue {
        let labels = served.model.labels
        let classes = inputs.entries.indices.map { index -> JSONValue in
            let logits = UnsafeBufferPointer(rebasing: rows[index * dimension..<(index + 1) * dimension])
            let posterior = Posterior(logits: logits, count: top)
            return .array(
                posterior.entries.map { entry in
                    var members: [JSONValue.Member] = [
                        .init("index", .int(entry.index)), .init("probability", .double(entry.probability)),
                        .init("log_probability", .double(entry.logProbability)),
                    ]
                    if let labels { members.append(.init("label", .string(labels[entry.index]))) }
                    return .object(members)
                })
        }
        var members: [JSONValue.Member] = [
            .init("model", .string(served.name)), .init("classes", .array(classes)),
        ]
        if let draws { members.append(.init("transform", description(of: draws, .base64))) }
        return .object(members)
    }

    private func patches() -> JSONValue {
        guard let draws else { return .null }
        let byteCount = served.model.configuration.input.count
        let patches = inputs.entries.indices.map { index -> JSONValue in
            .array(
                (0..<draws.count).map { draw in
                    let start = (index * draws.count + draw) * byteCount
                    return .base64(
                        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(pixels)[start..<start + byteCount]))
                })
        }
        return [
            "patches": .array(patches), "parameters": .array(draws.transformations.map(\.json)),
            "seed": draws.seed.map(JSONValue.int) ?? .null,
        ]
    }
}

extension JSONValue {
    fileprivate static func base64(_ bytes: UnsafeRawBufferPointer) -> JSONValue {
        .string(Base64.encode(bytes))
    }

    /// The fewest digits that parse back to the same float32.
    fileprivate static func shortest(_ value: Float) -> JSONValue {
        .double(Double(value.description) ?? Double(value))
    }

    fileprivate static func base64(_ values: [Float]) -> JSONValue {
        values.map(\.bitPattern.littleEndian).withUnsafeBytes { base64($0) }
    }
}

/// What the batcher knows of a task.
struct InferenceJob: BatchJob {
    /// Units of one key run together.
    struct Key: BatchKey {
        enum Kind: Hashable, Sendable {
            /// Patches through the network, many at a time.
            case patches
            /// Images of any size through the network, one at a time.
            case images
            /// Transformed pixels, and no network.
            case pixels
        }

        let model: ObjectIdentifier
        let selection: LayerSelection
        let kind: Kind
        let sharedBatch: Int

        /// Images run one at a time, each in memory of its own.
        var runsInPieces: Bool { kind == .images }
    }

    let task: InferenceTask

    var connection: ConnectionID { task.address.connection }
    var patchCount: Int { task.unitCount }

    func piece(at unit: Int) -> Range<Int> { task.restOfImage(from: unit) }

    var key: Key {
        var kind = task.isOverImages ? Key.Kind.images : .patches
        if case .patches = task.answer { kind = .pixels }
        return Key(
            model: ObjectIdentifier(task.served), selection: task.selection, kind: kind,
            sharedBatch: kind == .patches ? task.served.sharedBatch : 0)
    }
}

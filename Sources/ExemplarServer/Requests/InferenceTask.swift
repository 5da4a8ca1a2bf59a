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
        case pixels
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
    /// Of the reply, at most.
    let replyByteCount: Int
    /// The task's part of the server's memory, taken before the task was made.
    private let lease: MemoryBudget.Lease
    /// Units before each input, and last all of them.
    private let unitStarts: [Int]
    let rows: UnsafeMutableBufferPointer<Float>
    private(set) var averages: [Average] = []
    /// Units that may be under way beyond the first that is not computed: whose rows are added in their order.
    let lead: Int
    let pixels: UnsafeMutableBufferPointer<UInt8>
    /// The first error, and who may change the averages.
    private let lock = Monitor<ResponseError?>(nil)

    /// The mean over one input's draws, taken in their order whatever the order in which they are computed.
    struct Average {
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
        if case .pixels = answer { isPixels = true }
        dimension = isPixels ? 0 : served.model.dimension(of: selection)
        unitStarts = inputs.entries.reduce(into: [0]) { starts, entry in
            starts.append(starts[starts.count - 1] + InferenceTask.units(of: entry, draws: draws, model: served.model))
        }
        rows = .allocate(capacity: inputs.entries.count * dimension)
        let patchBytes = served.model.configuration.input.count
        pixels = .allocate(capacity: isPixels ? inputs.entries.count * (draws?.count ?? 0) * patchBytes : 0)
        lead = (draws?.count ?? 1) > 1 && !isPixels ? served.lead : .max
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
        lock.withLock { $0 = $0 ?? error }
    }

    /// Why the reply is an error, if it is one already.
    var failure: ResponseError? { lock.withLock { $0 } }

    var hasFailed: Bool { failure != nil }
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
    var lead: Int { task.lead }

    func piece(at unit: Int) -> Range<Int> { task.restOfImage(from: unit) }

    var key: Key {
        var kind = task.isOverImages ? Key.Kind.images : .patches
        if case .pixels = task.answer { kind = .pixels }
        return Key(
            model: ObjectIdentifier(task.served), selection: task.selection, kind: kind,
            sharedBatch: kind == .patches ? task.served.sharedBatch : 0)
    }
}

import Batching
import ExemplarNetwork
import Glibc
import JSONRPC

/// One `embed` request on its way through the batcher: its pixels, and the rows as workers fill them in.
///
/// Shared by the event loop, which makes it, and the workers, which compute slices of it. Unchecked: pixels are written
/// before it is admitted; each row is written by the one worker that has its patch; and the batcher's lock stands
/// between the last row and the reply.
final class EmbedTask: @unchecked Sendable {
    let address: ReplyAddress
    let served: ServedModel
    let selection: LayerSelection
    let dimension: Int
    let encoding: EmbedRequest.Encoding
    let normalize: EmbedRequest.Normalization
    let arrival: ContinuousClock.Instant
    let pixels: PixelBlock
    private let values: UnsafeMutableBufferPointer<Float>

    init(
        address: ReplyAddress, served: ServedModel, selection: LayerSelection, encoding: EmbedRequest.Encoding,
        normalize: EmbedRequest.Normalization, arrival: ContinuousClock.Instant, pixels: PixelBlock
    ) {
        self.address = address
        self.served = served
        self.selection = selection
        self.encoding = encoding
        self.normalize = normalize
        self.arrival = arrival
        self.pixels = pixels
        dimension = served.model.dimension(of: selection)
        values = .allocate(capacity: pixels.count * dimension)
    }

    deinit { values.deallocate() }

    /// Takes the rows of a batch from `first` on as those of the patches `patches`.
    func take(_ batch: EmbeddingBatch, from first: Int, patches: Range<Int>) {
        guard let base = values.baseAddress else { return }
        for (offset, patch) in patches.enumerated() {
            let row = batch[first + offset]
            guard let source = row.baseAddress, row.count == dimension else { continue }
            (base + patch * dimension).update(from: source, count: dimension)
        }
    }

    /// The reply, once every row is there.
    func reply() -> ByteBuffer {
        if normalize == .l2 { normalizeRows() }
        var buffer = ByteBuffer(
            capacity: 512 + EmbeddingResult.byteCount(count: pixels.count, dimension: dimension, encoding: encoding))
        Response(
            id: address.id,
            content: .embeddings(
                EmbeddingResult(
                    model: served.name, layers: served.model.names(of: selection), dimension: dimension,
                    encoding: encoding, values: UnsafeBufferPointer(values)))
        ).write(to: &buffer)
        return buffer
    }

    private func normalizeRows() {
        for row in 0..<pixels.count {
            let range = row * dimension..<(row + 1) * dimension
            let square = range.reduce(0.0) { $0 + Double(values[$1]) * Double(values[$1]) }
            guard square > 0 else { continue }
            let factor = 1 / square.squareRoot()
            for index in range { values[index] = Float(Double(values[index]) * factor) }
        }
    }
}

/// What the batcher knows of a task.
struct EmbedJob: BatchJob {
    /// Patches of one model and one choice of layers run together.
    struct Key: Hashable, Sendable {
        let model: ObjectIdentifier
        let selection: LayerSelection
    }

    let task: EmbedTask

    var connection: ConnectionID { task.address.connection }
    var key: Key { Key(model: ObjectIdentifier(task.served), selection: task.selection) }
    var patchCount: Int { task.pixels.count }
}

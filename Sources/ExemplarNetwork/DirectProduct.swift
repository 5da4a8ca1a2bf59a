import KernelInterface

/// A convolution or linear layer as register tiles: what to multiply, in which order.
///
/// Output channels are cut into panels as wide as a register tile; weights are packed
/// [panel][input][panel's channels], so that a tile reads them in one stream.
struct DirectProduct: Sendable {
    /// Output channels, not padded.
    let outChannels: Int
    let reduction: ReductionBlocking
    let rectifies: Bool
    let panels: [Panel]
    /// Floats of packed weights, and of the bias.
    let weightCount: Int
    let biasCount: Int

    struct Panel: Sendable, Equatable {
        /// The first output channel.
        let channel: Int
        /// In vectors of 16.
        let vectors: Int
        /// Floats before this panel's weights.
        let weightOffset: Int
    }

    init(outChannels: Int, reduction: ReductionBlocking, rectifies: Bool, tileVectors: Int) {
        self.outChannels = outChannels
        self.reduction = reduction
        self.rectifies = rectifies
        let paddedChannels = MapLayout.padded(outChannels)
        let inputs = reduction.count
        panels = Self.panels(outChannels: outChannels, tileVectors: tileVectors, weightsPerChannel: inputs)
        weightCount = paddedChannels * inputs
        biasCount = paddedChannels
    }

    /// Output channels, padded to whole vectors, in panels of at most `tileVectors` vectors.
    static func panels(outChannels: Int, tileVectors: Int, weightsPerChannel: Int) -> [Panel] {
        let paddedChannels = MapLayout.padded(outChannels)
        return stride(from: 0, to: paddedChannels, by: tileVectors * KernelTable.lanes).map { channel in
            Panel(
                channel: channel,
                vectors: min(tileVectors, (paddedChannels - channel) / KernelTable.lanes),
                weightOffset: channel * weightsPerChannel)
        }
    }

    /// Fills `packed` and `packedBias` from a weight for each (output channel, input), inputs counted in the order of
    /// the reduction; channels of padding get zeros.
    func pack(
        into packed: UnsafeMutablePointer<Float>, bias packedBias: UnsafeMutablePointer<Float>,
        weight: (_ channel: Int, _ input: Int) -> Float, bias: (_ channel: Int) -> Float
    ) {
        let inputs = reduction.count
        for panel in panels {
            let width = panel.vectors * KernelTable.lanes
            for lane in 0..<width {
                let channel = panel.channel + lane
                let target = packed + (panel.weightOffset + lane)
                let isReal = channel < outChannels
                packedBias[channel] = isReal ? bias(channel) : 0
                for input in 0..<inputs {
                    target[input * width] = isReal ? weight(channel, input) : 0
                }
            }
        }
    }

    /// A row of outputs that one step apart read inputs one step apart: a row of a map, or the images of a batch.
    struct Row {
        var input: UnsafePointer<Float>
        var inputStep: Int
        var output: UnsafeMutablePointer<Float>
        var outputStep: Int
        var count: Int
    }

    /// Multiplies every row: each block of each panel passes over all rows before the next block is touched.
    ///
    /// - Parameter row: the row of an index; called again for each block.
    @inline(__always)
    func run(
        _ kernels: KernelTable, weights: UnsafePointer<Float>, bias: UnsafePointer<Float>, rows: Int,
        row: (Int) -> Row
    ) {
        reduction.segments.withUnsafeBufferPointer { segments in
            guard let segments = segments.baseAddress else { return }
            for panel in panels {
                for block in reduction.blocks {
                    let isFirst = block.start == 0
                    let isLast = block.segments.upperBound == reduction.segments.count
                    let width = panel.vectors * KernelTable.lanes
                    for index in 0..<rows {
                        let row = row(index)
                        kernels.multiplyPanel(
                            PanelArguments(
                                input: row.input, inputStep: row.inputStep,
                                segments: segments + block.segments.lowerBound, segmentCount: block.segments.count,
                                weights: weights + (panel.weightOffset + block.start * width),
                                bias: isFirst ? bias + panel.channel : nil, output: row.output + panel.channel,
                                outputStep: row.outputStep, rows: row.count, vectors: panel.vectors,
                                rectifies: isLast && rectifies))
                    }
                }
            }
        }
    }
}

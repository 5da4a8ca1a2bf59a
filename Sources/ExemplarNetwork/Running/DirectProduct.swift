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
    let weightType: WeightType
    /// Floats that the packed weights take, and the bias.
    let weightCount: Int
    let biasCount: Int
    /// Bytes of inputs that stay in the cache while every panel passes over them.
    private let chunkBytes: Int

    struct Panel: Sendable, Equatable {
        /// The first output channel.
        let channel: Int
        /// In vectors of 16.
        let vectors: Int
        /// Weights before this panel's.
        let weightOffset: Int
    }

    init(
        outChannels: Int, reduction: ReductionBlocking, rectifies: Bool, weightType: WeightType, tileVectors: Int,
        caches: CacheSizes
    ) {
        self.outChannels = outChannels
        self.weightType = weightType
        chunkBytes = caches.level2 / 2
        self.reduction = reduction
        self.rectifies = rectifies
        let paddedChannels = MapLayout.padded(outChannels)
        panels = Self.panels(outChannels: outChannels, tileVectors: tileVectors, weightsPerChannel: reduction.count)
        weightCount = paddedChannels * reduction.count * weightType.byteCount / MemoryLayout<Float>.stride
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

    /// Inputs that are packed at a time: their weights for one panel stay in the first-level cache.
    private static let packedRun = 64

    /// Brings weights from [out][channels][window] into panels; channels of padding get zeros.
    ///
    /// A linear layer's inputs are its map flattened in C, H, W, so they read like a convolution's.
    func pack(_ weights: StoredTensor, window: Int, into packed: UnsafeMutablePointer<Float>) {
        // The type of `packed` chooses how weights are read: as float32, or as the bits of a 16-bit type.
        if weightType == .float32 {
            pack(into: packed, window: window) { weights.read($0, into: $1) }
        } else {
            packed.withMemoryRebound(to: UInt16.self, capacity: 2 * weightCount) { packed in
                pack(into: packed, window: window) { weights.read($0, into: $1) }
            }
        }
    }

    /// - Parameter read: reads some weights of the file.
    private func pack<Weight: BitwiseCopyable & Numeric>(
        into packed: UnsafeMutablePointer<Weight>, window: Int,
        read: (Range<Int>, UnsafeMutablePointer<Weight>) -> Void
    ) {
        let inputs = reduction.count
        let channels = inputs / window
        let widest = (panels.first?.vectors ?? 0) * KernelTable.lanes
        withUnsafeTemporaryAllocation(of: Weight.self, capacity: Self.packedRun * (widest + 1)) { memory in
            guard let line = memory.baseAddress else { return }
            let tile = line + Self.packedRun
            for panel in panels {
                let width = panel.vectors * KernelTable.lanes
                for start in stride(from: 0, to: inputs, by: Self.packedRun) {
                    let count = min(Self.packedRun, inputs - start)
                    for lane in 0..<width {
                        let channel = panel.channel + lane
                        if channel < outChannels {
                            read(channel * inputs + start..<channel * inputs + start + count, line)
                        } else {
                            line.update(repeating: .zero, count: count)
                        }
                        for index in 0..<count { tile[index * width + lane] = line[index] }
                    }
                    // The reduction runs over rows and columns first, then over channels.
                    for index in 0..<count {
                        let (channel, position) = (start + index).quotientAndRemainder(dividingBy: window)
                        (packed + (panel.weightOffset + (position * channels + channel) * width))
                            .update(from: tile + index * width, count: width)
                    }
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

    /// Multiplies every row. A block of a panel passes over all rows before the next block is touched, and all panels
    /// over a chunk of blocks whose inputs stay in the second-level cache. A single row reads each weight once,
    /// whatever the blocks, and takes several panels at a time. Each sum runs in the order of the blocks.
    ///
    /// - Parameters:
    ///   - part: which part of the panels.
    ///   - row: the row of an index; called again for each block.
    @inline(__always)
    func run(
        _ kernels: KernelTable, weights: UnsafePointer<Float>, bias: UnsafePointer<Float>, part: CrewPart, rows: Int,
        row: (Int) -> Row
    ) {
        let blocks = reduction.blocks
        let images = rows == 1 ? row(0).count : 1
        let inputBytes = images * (blocks.first?.count ?? 1) * MemoryLayout<Float>.stride
        let chunk = rows == 1 ? max(1, chunkBytes / inputBytes) : blocks.count
        let isAlone = rows == 1 && images == 1
        let mine = panels[part.range(of: panels.count)]
        for start in stride(from: 0, to: blocks.count, by: chunk) {
            let end = min(start + chunk, blocks.count)
            guard isAlone else {
                for panel in mine {
                    for index in start..<end {
                        run(kernels, panel, blocks[index], weights: weights, bias: bias, rows: rows, row: row)
                    }
                }
                continue
            }
            let block = ReductionBlocking.Block(joining: blocks[start..<end])
            var index = mine.startIndex
            while index < mine.endIndex {
                // As many panels as the kernel takes, if they are equally wide.
                let last = index + kernels.rowPanels - 1
                let isGroup = last < mine.endIndex && mine[last].vectors == mine[index].vectors
                let count = isGroup ? kernels.rowPanels : 1
                run(kernels, mine[index], count: count, block, weights: weights, bias: bias, rows: rows, row: row)
                index += count
            }
        }
    }

    /// - Parameter count: of panels, `panel` being the first.
    @inline(__always)
    private func run(
        _ kernels: KernelTable, _ panel: Panel, count: Int = 1, _ block: ReductionBlocking.Block,
        weights: UnsafePointer<Float>, bias: UnsafePointer<Float>, rows: Int, row: (Int) -> Row
    ) {
        let isFirst = block.start == 0
        let isLast = block.segments.upperBound == reduction.segments.count
        let width = panel.vectors * KernelTable.lanes
        let place = panel.weightOffset + block.start * width
        reduction.segments.withUnsafeBufferPointer { segments in
            guard let segments = segments.baseAddress else { return }
            for index in 0..<rows {
                let row = row(index)
                kernels.multiplyPanel(
                    PanelArguments(
                        input: row.input, inputStep: row.inputStep, segments: segments + block.segments.lowerBound,
                        segmentCount: block.segments.count,
                        weights: UnsafeRawPointer(weights) + place * weightType.byteCount, weightType: weightType,
                        bias: isFirst ? bias + panel.channel : nil, output: row.output + panel.channel,
                        outputStep: row.outputStep, rows: row.count, vectors: panel.vectors,
                        rectifies: isLast && rectifies, panels: count,
                        weightPanelStep: reduction.count * width))
            }
        }
    }
}

import KernelInterface
import Tensors

/// A network made ready to run on one instruction set over inputs of one size: what each layer does, in which buffer,
/// with which weights.
///
/// Every choice is made here, once, when a model is loaded, and depends on nothing but the network and the machine:
/// never on the size of a batch or the number of threads, so that a patch gives the same bits in all of them.
struct ExecutionPlan: Sendable {
    /// The layers in order; step i writes buffer i + 1 and reads buffer i. Buffer 0 holds the network's input.
    let steps: [Step]
    /// The buffers' layouts: one image's map in each.
    let layouts: [MapLayout]
    /// By layer: the algorithm, nil for direct convolution, and how the weights are kept. The packing of the weights
    /// follows from these alone.
    let algorithms: [WinogradShape?]
    let weightTypes: [WeightType]
    /// The steps before this one run over a group of images at a time, so that maps stay in the caches; from here on,
    /// where weights outweigh maps, each layer runs over the whole batch.
    let batchedFrom: Int
    /// Images of a group.
    let groupSize: Int
    /// Floats of packed weights and biases of all layers.
    let parameterCount: Int
    /// Floats of scratch that the steps share.
    let scratchCount: Int
    /// Floats of the largest pooled output, as the kernels write it: four pixels of the widest map. A multiple of a
    /// vector's.
    let pooledStride: Int

    enum Step: Sendable {
        case direct(DirectConvolution)
        case winograd(WinogradConvolution, Parameters)
        case maxPool(kernel: Extent, stride: Extent, padding: Extent)
        /// A linear layer that sees its input's whole map: one product for each image.
        case linear(DirectProduct, Parameters)

        /// Whether this step can do the pooling that follows it on its way.
        var canPool: Bool { if case .winograd(let convolution, _) = self { convolution.canPool } else { false } }
    }

    /// A direct convolution, or a linear layer over a map larger than the patch's: one row of register tiles for each
    /// output row.
    struct DirectConvolution: Sendable {
        let product: DirectProduct
        let parameters: Parameters
        let stride: Extent
        /// Elements from the input map's origin to the first window's first input: into the border.
        let windowOffset: Int
    }

    /// Where a layer's parameters lie in the packed slab, in floats.
    struct Parameters: Sendable {
        let weights: Int
        let bias: Int
    }

    /// More images than this in a group share no more weights worth sharing.
    static let maximumGroup = 6
    /// Bytes that the maps of a group may take: a part of the third-level cache of any server CPU.
    private static let groupBytes = 8 << 20

    /// Plans a network for its patch.
    ///
    /// - Parameters:
    ///   - layers: the network's layers with their shapes, in order.
    ///   - kernels: the kernels that will run the plan.
    ///   - weightType: how the weights of a linear layer are kept.
    ///   - algorithm: chooses for a layer of which so many images run together; nil is direct convolution.
    init(
        layers: [PlannedLayer], input: FeatureShape, kernels: KernelTable, caches: CacheSizes,
        weightType: (PlannedLayer) -> WeightType = { _ in .float32 },
        algorithm: (PlannedLayer, _ images: Int) -> WinogradShape?
    ) {
        let groupSize = Self.groupSize(layers, input: input)
        self.init(
            layers: layers, input: input, kernels: kernels, caches: caches, weightTypes: layers.map(weightType),
            algorithms: layers.map { algorithm($0, groupSize) })
    }

    /// This plan over an input of another size: the same choices and the same packed weights.
    func resized(
        layers: [PlannedLayer], input: FeatureShape, kernels: KernelTable, caches: CacheSizes
    ) -> ExecutionPlan {
        ExecutionPlan(
            layers: layers, input: input, kernels: kernels, caches: caches, weightTypes: weightTypes,
            algorithms: algorithms)
    }

    /// The first layer that is one product for an image, whose weights outweigh its maps.
    private static func batchedFrom(_ layers: [PlannedLayer]) -> Int {
        layers.firstIndex {
            if case .linear = $0.configuration.kind { $0.output.height * $0.output.width == 1 } else { false }
        } ?? layers.count
    }

    private static func groupSize(_ layers: [PlannedLayer], input: FeatureShape) -> Int {
        let maps = layers[..<batchedFrom(layers)].reduce(input.count) { $0 + $1.output.count }
        return max(1, min(maximumGroup, groupBytes / (maps * MemoryLayout<Float>.stride)))
    }

    private init(
        layers: [PlannedLayer], input: FeatureShape, kernels: KernelTable, caches: CacheSizes,
        weightTypes: [WeightType], algorithms: [WinogradShape?]
    ) {
        batchedFrom = Self.batchedFrom(layers)
        groupSize = Self.groupSize(layers, input: input)
        self.weightTypes = weightTypes
        self.algorithms = algorithms
        let layouts = (0...layers.count).map { index in
            Self.layout(
                of: index == 0 ? input : layers[index - 1].output, isInput: index == 0,
                for: index < layers.count ? layers[index] : nil,
                algorithm: index < layers.count ? algorithms[index] : nil)
        }
        var steps: [Step] = []
        var parameterCount = 0
        var scratchCount = 0
        func take(weights: Int, bias: Int) -> Parameters {
            // Every layer's weights start on a cache line.
            let count = MapLayout.padded(weights)
            defer { parameterCount += count + bias }
            return Parameters(weights: parameterCount, bias: parameterCount + count)
        }
        for (index, layer) in layers.enumerated() {
            let source = layouts[index]
            func product(_ activation: LayerConfiguration.Activation, _ weightType: WeightType) -> DirectProduct {
                DirectProduct(
                    outChannels: layer.output.channels,
                    reduction: ReductionBlocking(
                        kernel: layer.window, over: source, vectors: kernels.tileVectors, caches: caches),
                    rectifies: activation == .relu, weightType: weightType, tileVectors: kernels.tileVectors,
                    caches: caches)
            }
            switch layer.configuration.kind {
            case .convolution(_, _, let stride, let padding, let activation):
                if let algorithm = algorithms[index] {
                    let convolution = WinogradConvolution(
                        algorithm, layer: layer, rectifies: activation == .relu,
                        canPool: index + 1 < layers.count && layers[index + 1].halves, padding: padding,
                        source: source, images: groupSize, kernels: kernels, caches: caches)
                    scratchCount = max(scratchCount, convolution.scratchCount)
                    steps.append(
                        .winograd(convolution, take(weights: convolution.weightCount, bias: convolution.biasCount)))
                } else {
                    let product = product(activation, .float32)
                    steps.append(
                        .direct(
                            DirectConvolution(
                                product: product,
                                parameters: take(weights: product.weightCount, bias: product.biasCount), stride: stride,
                                windowOffset:
                                    -(padding.height * source.rowStride
                                    + padding.width * source.columnStride))))
                }
            case .maxPool(let kernel, let stride, let padding, _):
                steps.append(.maxPool(kernel: kernel, stride: stride, padding: padding))
            case .linear(_, let activation):
                let product = product(activation, weightTypes[index])
                let parameters = take(weights: product.weightCount, bias: product.biasCount)
                if layer.output.height * layer.output.width == 1 {
                    steps.append(.linear(product, parameters))
                } else {
                    steps.append(
                        .direct(
                            DirectConvolution(
                                product: product, parameters: parameters, stride: Extent(1, 1), windowOffset: 0)))
                }
            }
        }
        self.steps = steps
        self.layouts = layouts
        self.parameterCount = parameterCount
        self.scratchCount = scratchCount
        pooledStride = 4 * (layouts.map { MapLayout.padded($0.channels) }.max() ?? 0)
    }

    /// The layout of the map that flows into `layer`.
    private static func layout(
        of shape: FeatureShape, isInput: Bool, for layer: PlannedLayer?, algorithm: WinogradShape?
    ) -> MapLayout {
        // A direct convolution reads the few channels of the network's input without padding between them, so that a
        // window's row is one run; tiles want vectors of whole pixels, or whole vectors for each.
        let columnStride =
            if isInput, algorithm == nil {
                shape.channels
            } else if isInput, let algorithm, algorithm.fitsFewChannels, WinogradConvolution.hasFewChannels(shape) {
                MapLayout.narrowStride
            } else {
                MapLayout.padded(shape.channels)
            }
        var layout = MapLayout(
            height: shape.height, width: shape.width, channels: shape.channels, columnStride: columnStride,
            border: layer?.configuration.kind.border ?? Extent(0, 0))
        if let layer, let algorithm {
            /// How far whole tiles reach beyond a side of the input with its border.
            func overhang(_ output: Int, _ input: Int, _ border: Int) -> Int {
                let tiles = (output + algorithm.outputs - 1) / algorithm.outputs
                return max(0, tiles * algorithm.outputs + algorithm.kernel - 1 - input - 2 * border)
            }
            layout.overhang = Extent(
                overhang(layer.output.height, shape.height, layout.border.height),
                overhang(layer.output.width, shape.width, layout.border.width))
        }
        return layout
    }

    /// Elements from one image's buffer to the next. In the batched part a power-of-two distance would put the images
    /// of a register tile into one set of the first-level cache: an odd number of cache lines never does.
    func imageStride(of buffer: Int) -> Int {
        let lines = (layouts[buffer].count + KernelTable.lanes - 1) / KernelTable.lanes
        return (lines | 1) * KernelTable.lanes
    }

    /// How many images a buffer holds at once.
    func images(in buffer: Int, maximumBatch: Int) -> Int {
        buffer < batchedFrom ? min(groupSize, maximumBatch) : maximumBatch
    }

    /// Where everything lies in an embedder's slab; nil if the sizes overflow.
    ///
    /// - Parameter members: threads that work on one batch, each with a scratch of its own, and with a region of its
    ///   own for maps if there can be two images for each.
    func memory(maximumBatch: Int, members: Int = 1) -> EmbedderMemory? {
        let buffers = layouts.indices.map { buffer in
            let (count, overflow) = imageStride(of: buffer).multipliedReportingOverflow(
                by: images(in: buffer, maximumBatch: maximumBatch))
            // Zeros beside a map are written once and must stay; and a batched buffer that the grouped part writes
            // collects images while that part runs again and again.
            let layout = layouts[buffer]
            let hasZeros =
                layout.border != Extent(0, 0) || layout.overhang != Extent(0, 0)
                || (buffer == 0 && layout.columnStride != layout.channels)
            // A buffer lives from the step before it to the one that reads it, and where pooling is done on the way,
            // to the one after that.
            return MemoryPlan.Request(
                count: overflow ? Int.max : count,
                lifetime: hasZeros || buffer == batchedFrom ? MemoryPlan.always : max(buffer - 2, 0)...buffer)
        }
        let shared = [scratchStride * members, pooledStride * members].map {
            MemoryPlan.Request(count: $0, lifetime: MemoryPlan.always)
        }
        guard let region = MemoryPlan(Array(buffers[..<batchedFrom])),
            let rest = MemoryPlan(Array(buffers[batchedFrom...]) + shared)
        else { return nil }
        return EmbedderMemory(
            region: region, regions: members > 1 && maximumBatch >= 2 * members ? members : 1, rest: rest)
    }

    /// Floats from one member's scratch to the next.
    var scratchStride: Int { MapLayout.padded(scratchCount) }
}

extension LayerConfiguration.Kind {
    /// The zeros that this layer wants around its input. Pooling clips its windows instead.
    var border: Extent {
        if case .convolution(_, _, _, let padding, _) = self { padding } else { Extent(0, 0) }
    }
}

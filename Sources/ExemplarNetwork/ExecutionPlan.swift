import KernelInterface
import Tensors

/// A network made ready to run on one instruction set: what each layer does, in which buffer, with which weights.
///
/// Every choice is made here, once, when a model is loaded, and depends on nothing but the network and the machine:
/// never on the size of a batch or the number of threads, so that a patch gives the same bits in all of them.
struct ExecutionPlan: Sendable {
    /// The layers in order; step i writes buffer i + 1 and reads buffer i. Buffer 0 holds the network's input.
    let steps: [Step]
    /// The buffers' layouts: one image's map in each.
    let layouts: [MapLayout]
    /// The steps before this one run image by image, so that an image's maps stay in the second-level cache; from here
    /// on, where weights outweigh maps, each layer runs over the whole batch.
    let batchedFrom: Int
    /// Floats of packed weights and biases of all layers.
    let parameterCount: Int

    enum Step: Sendable {
        case convolution(Convolution)
        case maxPool(kernel: Extent, stride: Extent, padding: Extent)
        case linear(Linear)
    }

    /// A direct convolution: one row of register tiles for each output row.
    struct Convolution: Sendable {
        let product: DirectProduct
        let parameters: Parameters
        let stride: Extent
        /// Elements from the input map's origin to the first window's first input: into the border.
        let windowOffset: Int
    }

    /// A valid convolution whose window is the whole map: the images of a batch are its output pixels.
    struct Linear: Sendable {
        let product: DirectProduct
        let parameters: Parameters
    }

    /// Where a layer's parameters lie in the packed slab, in floats.
    struct Parameters: Sendable {
        let weights: Int
        let bias: Int
    }

    /// - Parameters:
    ///   - layers: the network's layers with their shapes, in order.
    ///   - kernels: the kernels that will run the plan.
    init(layers: [PlannedLayer], input: FeatureShape, kernels: KernelTable, caches: CacheSizes) {
        var layouts: [MapLayout] = []
        var steps: [Step] = []
        var parameterCount = 0
        for index in 0...layers.count {
            let shape = index == 0 ? input : layers[index - 1].output
            layouts.append(
                MapLayout(
                    height: shape.height, width: shape.width, channels: shape.channels,
                    columnStride: index == 0 ? shape.channels : MapLayout.padded(shape.channels),
                    border: index < layers.count ? layers[index].configuration.kind.border : Extent(0, 0)))
        }

        func take(_ product: DirectProduct) -> Parameters {
            defer { parameterCount += product.weightCount + product.biasCount }
            return Parameters(weights: parameterCount, bias: parameterCount + product.weightCount)
        }
        for (index, layer) in layers.enumerated() {
            let source = layouts[index]
            func product(_ kernel: Extent, _ outChannels: Int, _ activation: LayerConfiguration.Activation)
                -> DirectProduct
            {
                DirectProduct(
                    outChannels: outChannels,
                    reduction: ReductionBlocking(
                        kernel: kernel, over: source, vectors: kernels.tileVectors, caches: caches),
                    rectifies: activation == .relu, tileVectors: kernels.tileVectors)
            }
            switch layer.configuration.kind {
            case .convolution(let outChannels, let kernel, let stride, let padding, let activation):
                let product = product(kernel, outChannels, activation)
                steps.append(
                    .convolution(
                        Convolution(
                            product: product, parameters: take(product), stride: stride,
                            windowOffset: -(padding.height * source.rowStride + padding.width * source.columnStride))))
            case .maxPool(let kernel, let stride, let padding, _):
                steps.append(.maxPool(kernel: kernel, stride: stride, padding: padding))
            case .linear(let outFeatures, let activation):
                let product = product(Extent(source.height, source.width), outFeatures, activation)
                steps.append(.linear(Linear(product: product, parameters: take(product))))
            }
        }
        self.steps = steps
        self.layouts = layouts
        self.parameterCount = parameterCount
        batchedFrom =
            steps.firstIndex {
                if case .linear = $0 { true } else { false }
            } ?? steps.count
    }

    /// Elements from one image's buffer to the next in the batched part, where a power-of-two distance would put the
    /// images of a register tile into one set of the first-level cache: an odd number of cache lines never does.
    func imageStride(of buffer: Int) -> Int {
        guard buffer >= batchedFrom else { return 0 }
        let lines = (layouts[buffer].count + KernelTable.lanes - 1) / KernelTable.lanes
        return (lines | 1) * KernelTable.lanes
    }

    /// Where each buffer lies in an embedder's slab; nil if the sizes overflow.
    func memory(maximumBatch: Int) -> MemoryPlan? {
        MemoryPlan(
            layouts.indices.map { buffer in
                let layout = layouts[buffer]
                let stride = imageStride(of: buffer)
                let (batched, overflow) = stride.multipliedReportingOverflow(by: maximumBatch)
                let count = stride == 0 ? layout.count : (overflow ? Int.max : batched)
                // A border is zeroed once and must stay zero; and a batched buffer that the per-image part writes
                // collects images while that part runs again and again.
                let isPermanent = layout.border != Extent(0, 0) || buffer == batchedFrom
                return MemoryPlan.Request(
                    count: count, lifetime: isPermanent ? MemoryPlan.always : max(buffer - 1, 0)...buffer)
            })
    }
}

/// A layer with the shapes that flow in and out of it.
struct PlannedLayer: Sendable {
    let configuration: LayerConfiguration
    let input: FeatureShape
    let output: FeatureShape
}

extension LayerConfiguration.Kind {
    /// The zeros that this layer wants around its input. Pooling clips its windows instead.
    var border: Extent {
        if case .convolution(_, _, _, let padding, _) = self { padding } else { Extent(0, 0) }
    }
}

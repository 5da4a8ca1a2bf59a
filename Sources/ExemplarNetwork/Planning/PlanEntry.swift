import KernelInterface

/// How one layer runs, for a person to read: the planner's choice with what it costs. All figures are for one patch.
public struct PlanEntry: Sendable, Equatable {
    /// The layer's name.
    public var layer: String
    /// "direct 5x5", "F(4x4, 5x5)", "F(8x8, 5x5, i)" with ±i among its points, "linear F16", "max-pool", or "fused
    /// max-pool", which the layer before does on its way where nobody asks for its own map.
    public var algorithm: String
    /// The register tile: rows, and vectors of 16 output channels; 0 for pooling.
    public var tileRows: Int
    public var tileVectors: Int
    /// How the work is cut for the caches; empty for pooling.
    public var blocking: String
    /// Bytes of packed weights and biases.
    public var packedByteCount: Int
    /// Multiply-adds of the products that are executed, channels of padding included, transforms not.
    public var multiplyAdds: Int
    /// Multiply-adds of the layer's definition.
    public var effectiveMultiplyAdds: Int
    /// The part of the time of a pass that the cost model expects here, 0 … 1.
    public var share: Double
}

extension Network {
    /// The plan, layer by layer, with the shares of time that `optimization`'s cost model expects.
    func entries(_ optimization: Optimization) -> [PlanEntry] {
        let costs = CostModel(optimization, images: plan.groupSize)
        let rows = layers.indices.map { entry($0, costs) }
        let total = rows.reduce(0) { $0 + $1.cost }
        return rows.map { entry, cost in
            var entry = entry
            entry.share = total > 0 ? cost / total : 0
            return entry
        }
    }

    private func entry(_ index: Int, _ costs: CostModel) -> (entry: PlanEntry, cost: Double) {
        let layer = layers[index]
        var entry = PlanEntry(
            layer: layer.configuration.name, algorithm: "", tileRows: 0, tileVectors: 0, blocking: "",
            packedByteCount: 0, multiplyAdds: 0, effectiveMultiplyAdds: 0, share: 0)
        func describe(_ panels: [DirectProduct.Panel], packed: Int, rows: Int) {
            entry.tileRows = kernels.tileRows
            entry.tileVectors = panels.first?.vectors ?? 0
            entry.packedByteCount = packed * MemoryLayout<Float>.stride
            entry.multiplyAdds = rows * KernelTable.lanes
            entry.effectiveMultiplyAdds =
                layer.output.count * layer.window.height * layer.window.width * layer.input.channels
        }
        func describe(_ product: DirectProduct) -> Double {
            describe(
                product.panels, packed: product.weightCount + product.biasCount,
                rows: layer.output.height * layer.output.width * layer.weightVectors)
            let longest = product.reduction.blocks.map(\.count).max() ?? 0
            entry.blocking = "\(product.reduction.blocks.count) × \(longest) inputs"
            return costs.direct(layer, product.weightType)
        }
        switch plan.steps[index] {
        case .direct(let step):
            let cost = describe(step.product)
            entry.algorithm = "direct \(layer.window.height)x\(layer.window.width)"
            return (entry: entry, cost: cost)
        case .linear(let product, _):
            let cost = describe(product)
            entry.algorithm = "linear \(product.weightType.storageName)"
            return (entry: entry, cost: cost)
        case .winograd(let convolution, _):
            let shape = convolution.algorithm
            let (m, r) = (shape.outputs, shape.kernel)
            entry.algorithm = "F(\(m)x\(m), \(r)x\(r)\(shape.hasImaginaryPair ? ", i" : ""))"
            entry.blocking = "\(convolution.blockSize) tiles"
            describe(
                convolution.panels, packed: convolution.weightCount + convolution.biasCount,
                rows: convolution.tileCount * convolution.weightCount / KernelTable.lanes)
            // The output transform makes the products itself, of two tiles at a time.
            if convolution.isNarrow { entry.tileRows = 2 }
            return (entry: entry, cost: costs.winograd(layer, shape))
        case .maxPool:
            if index > 0, plan.steps[index - 1].canPool {
                entry.algorithm = "fused max-pool"
                return (entry: entry, cost: 0)
            }
            entry.algorithm = "max-pool"
            return (entry: entry, cost: costs.maxPool(layer))
        }
    }
}

extension WeightType {
    /// As in a safetensors file.
    var storageName: String {
        switch self {
        case .float32: "F32"
        case .float16: "F16"
        case .bfloat16: "BF16"
        }
    }
}

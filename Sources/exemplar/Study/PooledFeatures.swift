import ExemplarNetwork

/// The features of Dosovitskiy et al. 2014, section 4.1, layer by layer: each map max-pooled over four quadrants.
struct PooledFeatures: Sendable {
    struct Layer: Sendable {
        var name: String
        /// Of a row's values.
        var range: Range<Int>
        /// A 1×1 map gives each of its values four times; one is enough.
        var repeats: Int
    }

    let selection: LayerSelection
    let layers: [Layer]

    init(_ model: Model) {
        var selection = model.allLayers
        selection.pooling = .quadrant
        self.selection = selection
        var start = 0
        layers = model.names(of: selection).map { name in
            let shape = model.description.layers.first { $0.name == name }?.shape ?? []
            let count = 4 * (shape.first ?? 0)
            defer { start += count }
            return Layer(
                name: name, range: start..<start + count, repeats: shape.dropFirst().allSatisfy { $0 == 1 } ? 4 : 1)
        }
    }

    /// Values of all layers.
    var count: Int { layers.reduce(0) { $0 + $1.range.count / $1.repeats } }
    /// Values of the layer that has most.
    var widest: Int { layers.map { $0.range.count / $0.repeats }.max() ?? 0 }

    /// The values of one layer in a row of the selection.
    func values(of layer: Int, in row: UnsafeBufferPointer<Float>) -> [Float] {
        stride(from: layers[layer].range.lowerBound, to: layers[layer].range.upperBound, by: layers[layer].repeats).map
        {
            row[$0]
        }
    }
}

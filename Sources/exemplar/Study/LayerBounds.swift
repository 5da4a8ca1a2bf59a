import ExemplarNetwork
import Transformations

/// What layers are known to say of the exemplars when each has a q fitted to itself.
struct LayerBounds: Sendable {
    /// Draws for each exemplar: to fit q, to choose its width, and to judge it; no draw is in two of them.
    static let fitted = 16
    static let calibrating = 4
    static let judging = 8

    struct Layer: Sendable {
        var name: String
        /// With Gaussians around the mean of each exemplar's draws: the nearest class mean, softened.
        var means: MeanInterval
        /// With Gaussians around every draw.
        var kernel: MeanInterval
    }

    /// In the network's order. Maps are max-pooled over four quadrants; the embedding is g itself.
    var layers: [Layer]
}

extension Study {
    /// Fits and judges a q for the pooled features of every layer but the head.
    func layerBounds() throws(CommandError) -> LayerBounds {
        let fit = try representations(LayerBounds.fitted, of: .fit)
        let calibration = try representations(LayerBounds.calibrating, of: .calibration)
        let judge = try representations(LayerBounds.judging, of: .evaluation)
        var layers: [LayerBounds.Layer] = []
        for (index, name) in model.names(of: model.allLayers).enumerated() {
            var means = FittedPosterior(meansOf: fit[index])
            try means.chooseWidth(on: calibration[index], threads: threads)
            var kernel = FittedPosterior(draws: fit[index])
            try kernel.chooseWidth(on: calibration[index], threads: threads)
            layers.append(
                LayerBounds.Layer(
                    name: name, means: try means.bound(on: judge[index], threads: threads),
                    kernel: try kernel.bound(on: judge[index], threads: threads)))
        }
        return LayerBounds(layers: layers)
    }

    /// Draws of every layer's features, by layer.
    private func representations(
        _ count: Int, of stream: Stream
    ) throws(CommandError) -> [RepresentationDraws] {
        let features = PooledFeatures(model)
        let rows = try map(unit: "exemplars (features)") { [self] index, embedder in
            var rows: [[[Float]]] = features.layers.map { _ in [] }
            embedder.forEachRow(
                of: exemplars.contexts[index], draws(count, of: stream, exemplar: index),
                border: sampler.ranges.border, features.selection
            ) { _, row in
                for layer in features.layers.indices { rows[layer].append(features.values(of: layer, in: row)) }
            }
            return rows
        }
        return features.layers.indices.map { layer in RepresentationDraws(rows.map { $0[layer] }) }
    }
}

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

    /// The values of one layer in a row of the selection.
    func values(of layer: Int, in row: UnsafeBufferPointer<Float>) -> [Float] {
        stride(from: layers[layer].range.lowerBound, to: layers[layer].range.upperBound, by: layers[layer].repeats).map
        {
            row[$0]
        }
    }
}

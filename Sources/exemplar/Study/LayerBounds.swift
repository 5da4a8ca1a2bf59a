import ExemplarNetwork
import Transformations

/// What layers are known to say of the exemplars when each has a q fitted to itself.
struct LayerBounds: Sendable {
    /// Draws for each exemplar: to fit q, to choose its width, and to judge it; no draw is in two of them.
    static let fitted = 16
    static let calibrating = 4
    static let judging = 8
    /// From nearly the draws' own covariance within exemplars to a sphere.
    static let shrinkages = [0.05, 0.3, 1]

    struct Layer: Sendable {
        var name: String
        /// With Gaussians around the mean of each exemplar's draws: the nearest class mean, softened. Linear in z.
        var means: MeanInterval
        /// With Gaussians around every draw. Not linear.
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
            let covariance = try Whitening.covariance(within: fit[index], threads: threads)
            let whitenings = LayerBounds.shrinkages.map { Whitening(covariance, shrinkage: $0) }
            func bound(_ posterior: (RepresentationDraws) -> FittedPosterior) throws(CommandError) -> MeanInterval {
                try self.bound(posterior, whitenings, fit[index], calibration[index], judge[index])
            }
            layers.append(
                LayerBounds.Layer(
                    name: name, means: try bound(FittedPosterior.init(meansOf:)),
                    kernel: try bound(FittedPosterior.init(draws:))))
        }
        return LayerBounds(layers: layers)
    }

    /// The bound by a q around the draws of `fit`, its width and the shape of its Gaussians chosen on `calibration`.
    private func bound(
        _ posterior: (RepresentationDraws) -> FittedPosterior, _ whitenings: [Whitening?], _ fit: RepresentationDraws,
        _ calibration: RepresentationDraws, _ judge: RepresentationDraws
    ) throws(CommandError) -> MeanInterval {
        var best: (score: Double, posterior: FittedPosterior, whitening: Whitening?)?
        for whitening in whitenings {
            func whitened(_ draws: RepresentationDraws) throws(CommandError) -> RepresentationDraws {
                try whitening?.applied(to: draws, threads: threads) ?? draws
            }
            var fitted = posterior(try whitened(fit))
            let score = try fitted.chooseWidth(on: try whitened(calibration), threads: threads)
            if best.map({ score > $0.score }) ?? true { best = (score, fitted, whitening) }
        }
        guard let best else { return MeanInterval([]) }
        return try best.posterior.bound(
            on: try best.whitening?.applied(to: judge, threads: threads) ?? judge, threads: threads)
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

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

    /// In the network's order. Maps are max-pooled over four quadrants; a linear layer's features are its values.
    var layers: [Layer]
    /// With the head and the embedding's kernel together.
    var combined: CombinedPosterior.Bound
}

/// One layer's q with what was chosen for it.
struct FittedLayer: Sendable {
    var posterior: FittedPosterior
    /// Nil where draws do not differ.
    var whitening: Whitening?

    /// The logits of q for one draw of the layer's features.
    func logits(of features: [Float]) -> [Double] {
        posterior.logDensities(of: whitening?.applied(to: features) ?? features)
    }
}

extension Study {
    /// Fits and judges a q for the pooled features of every layer but the head.
    ///
    /// - Parameter stream: of the draws that judge each layer's q, which must have met none of them.
    func layerBounds(judgedOn stream: Stream = .evaluation) throws(CommandError) -> LayerBounds {
        try checkLayerBounds()
        let fit = try representations(LayerBounds.fitted, of: .fit)
        let calibration = try representations(LayerBounds.calibrating, of: .calibration)
        let judge = try representations(LayerBounds.judging, of: stream)
        var layers: [LayerBounds.Layer] = []
        var embedding: (layer: Int, fitted: FittedLayer)?
        for (index, name) in model.names(of: model.allLayers).enumerated() {
            let covariance = try Whitening.covariance(within: fit[index], threads: threads)
            let whitenings = LayerBounds.shrinkages.map { Whitening(covariance, shrinkage: $0) }
            func fitted(_ posterior: (RepresentationDraws) -> FittedPosterior) throws(CommandError) -> FittedLayer {
                try self.fitted(posterior, whitenings, fit[index], calibration[index])
            }
            let (means, kernel) = (try fitted(FittedPosterior.init(meansOf:)), try fitted(FittedPosterior.init(draws:)))
            layers.append(
                LayerBounds.Layer(
                    name: name, means: try bound(means, judge[index]), kernel: try bound(kernel, judge[index])))
            if name == model.configuration.embedding { embedding = (index, kernel) }
        }
        guard let embedding else { throw .failure("\(model.configuration.name) has no embedding layer to fit a q to.") }
        return LayerBounds(layers: layers, combined: try combinedBound(embedding.fitted, layer: embedding.layer))
    }

    /// Refuses what `layerBounds` would have no memory for, before anything has been measured.
    func checkLayerBounds() throws(CommandError) {
        let features = PooledFeatures(model)
        let (all, widest, count) = (features.count, features.widest, exemplars.contexts.count)
        let draws = count * (LayerBounds.fitted + LayerBounds.calibrating + LayerBounds.judging)
        // Of all layers the draws; of one its covariance, and draws once more for the best q so far and the next one.
        let byteCount =
            (draws * all + 2 * count * LayerBounds.fitted * widest) * MemoryLayout<Float>.stride
            + Whitening.byteCount(
                dimension: widest, draws: count * LayerBounds.fitted, shrinkages: LayerBounds.shrinkages.count)
        try checkMemory(
            byteCount, for: "The draws of \(all) features of \(count) exemplars, and their covariances",
            advice: "measure fewer exemplars (--count)")
    }

    /// A q around the draws of `fit`, its width and the shape of its Gaussians chosen on `calibration`.
    private func fitted(
        _ posterior: (RepresentationDraws) -> FittedPosterior, _ whitenings: [Whitening?], _ fit: RepresentationDraws,
        _ calibration: RepresentationDraws
    ) throws(CommandError) -> FittedLayer {
        var best = FittedLayer(posterior: posterior(fit), whitening: nil)
        var greatest = -Double.infinity
        for whitening in whitenings {
            var candidate = posterior(try whitened(fit, whitening))
            let score = try candidate.chooseWidth(on: try whitened(calibration, whitening), threads: threads)
            if score > greatest {
                greatest = score
                best = FittedLayer(posterior: candidate, whitening: whitening)
            }
        }
        return best
    }

    private func whitened(
        _ draws: RepresentationDraws, _ whitening: Whitening?
    ) throws(CommandError) -> RepresentationDraws {
        try whitening?.applied(to: draws, threads: threads) ?? draws
    }

    private func bound(_ layer: FittedLayer, _ judge: RepresentationDraws) throws(CommandError) -> MeanInterval {
        try layer.posterior.bound(on: try whitened(judge, layer.whitening), threads: threads)
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

import Batching
import ExemplarNetwork
import JSONRPC
import Transformations

/// The transformations of a request: the same α for each of its inputs, so that an answer depends neither on position
/// nor on how a client splits its patches.
final class Draws: Sendable {
    /// 1 or more.
    let count: Int
    let border: TransformationBorder
    /// As the reply says it.
    let mode: String
    /// Nil for explicit parameters.
    let seed: Int?
    /// Stop once the relative standard error is at most this, looked at every `toleranceStep` draws.
    let tolerance: Double?
    let wantsStandardErrors: Bool

    static let toleranceStep = 8

    private enum Source: Sendable {
        case given([Transformation])
        case drawn(TransformationSampler, seed: UInt64, first: Int, TransformationSteps)
    }

    /// What the transformations take, each with the factors of its contrast.
    var byteCount: Int { count * (MemoryLayout<Transformation>.stride + 64) }

    private let source: Source
    private let made = Monitor<[Transformation]>([])

    /// α_0 … α_(K−1). They are drawn when they are first asked for, by a worker: thousands of them would hold up the
    /// event loop.
    var transformations: [Transformation] {
        switch source {
        case .given(let list): list
        case .drawn(let sampler, let seed, let first, let steps):
            made.withLock { made in
                if made.isEmpty {
                    made = (first..<first + count).map {
                        sampler.draw(seed: seed, index: UInt64($0)).restricted(to: steps)
                    }
                }
                return made
            }
        }
    }

    /// - Parameter limit: the most draws; the caller's queue holds no more.
    init(_ options: TransformOptions, of model: Model, limit: Int) throws(ResponseError) {
        guard let sampler = model.sampler else {
            throw ResponseError(
                .notSupported,
                "\(model.configuration.name) has no `transformations` in its config.json, so T_α is not defined.")
        }
        let isColor = model.configuration.input.channels == 3
        border = options.border
        wantsStandardErrors = options.wantsStandardErrors
        let steps = options.steps ?? .all
        if !isColor, let named = options.steps, !named.isDisjoint(with: [.contrast, .color, .hue]) {
            throw ResponseError(
                .notSupported,
                "The steps contrast, color and hue are for networks of 3 channels, which "
                    + "\(model.configuration.name) is not.")
        }
        func drawn(_ seed: Int?, first: Int) -> (Source, seed: Int) {
            let seed = seed ?? Int.random(in: TransformOptions.seeds)
            return (.drawn(sampler, seed: UInt64(seed), first: first, steps), seed)
        }
        switch options.mode {
        case .sample(let seed, let index):
            let (source, seed) = drawn(seed, first: index)
            (self.source, self.seed, mode, count, tolerance) = (source, seed, "sample", 1, nil)
        case .mean(let samples, let seed, let tolerance):
            try Self.check(samples, limit, "transform.samples")
            let (source, seed) = drawn(seed, first: 0)
            (self.source, self.seed, mode, count, self.tolerance) = (source, seed, "mean", samples, tolerance)
        case .parameters(let list):
            try Self.check(list.count, limit, "transform.parameters")
            if !isColor, list.contains(where: { $0.restricted(to: [.contrast, .color, .hue]) != .identity }) {
                throw ResponseError(
                    .notSupported,
                    "Contrast, color and hue are for networks of 3 channels, which \(model.configuration.name) is not: "
                        + "give factors of 1, powers of 1 and offsets of 0.")
            }
            if isColor, sampler.ranges.contrast == nil, list.contains(where: { $0.contrast != [1, 1, 1] }) {
                throw ResponseError(
                    .notSupported,
                    "\(model.configuration.name) has no components for the contrast in its config.json: give factors "
                        + "of 1."
                )
            }
            (source, seed, mode, count, tolerance) = (.given(list), nil, "parameters", list.count, nil)
        }
    }

    private static func check(_ count: Int, _ limit: Int, _ parameter: String) throws(ResponseError) {
        guard count <= limit else {
            throw .invalidParameter(
                parameter,
                "\(count) draws are more than the queue ever holds, \(limit): ask for fewer, or raise the "
                    + "server's --queue.")
        }
    }
}

extension Transformation {
    /// In the form that `transform.parameters` takes.
    var json: JSONValue {
        func pair(_ pair: SaturationValue) -> JSONValue { .array([.double(pair.saturation), .double(pair.value)]) }
        return [
            "translation": .array([.double(translationX), .double(translationY)]), "scale": .double(scale),
            "rotation_degrees": .double(rotationDegrees), "contrast": .array(contrast.map(JSONValue.double)),
            "color": ["power": pair(power), "factor": pair(factor), "offset": pair(offset)], "hue": .double(hue),
        ]
    }
}

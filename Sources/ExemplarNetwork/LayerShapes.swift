/// stub until `formats` lands
public struct FeatureShape: Sendable, Equatable {
    public var channels: Int
    public var height: Int
    public var width: Int
    public var count: Int { channels * height * width }
    public init(channels: Int, height: Int, width: Int) {
        self.channels = channels; self.height = height; self.width = width
    }
}
enum LayerShapes {
    static func plan(_ configuration: NetworkConfiguration) throws(ModelError) -> [PlannedLayer] {
        var input = FeatureShape(
            channels: configuration.input.channels, height: configuration.input.height, width: configuration.input.width
        )
        return configuration.layers.map { layer in
            var out = input
            switch layer.kind {
            case .convolution(let o, let k, let s, let p, _):
                out = FeatureShape(
                    channels: o, height: (input.height + 2 * p.height - k.height) / s.height + 1,
                    width: (input.width + 2 * p.width - k.width) / s.width + 1)
            case .linear(let o, _): out = FeatureShape(channels: o, height: 1, width: 1)
            case .maxPool(let k, let s, let p, let r):
                func w(_ i: Int, _ k: Int, _ s: Int, _ p: Int) -> Int {
                    if r == .floor { return (i + 2 * p - k) / s + 1 }
                    let n = (i + 2 * p - k + s - 1) / s + 1
                    return (n - 1) * s >= i + p ? n - 1 : n
                }
                out = FeatureShape(
                    channels: input.channels, height: w(input.height, k.height, s.height, p.height),
                    width: w(input.width, k.width, s.width, p.width))
            }
            defer { input = out }
            return PlannedLayer(configuration: layer, input: input, output: out)
        }
    }
}

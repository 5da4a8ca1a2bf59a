public import Transformations
public struct EmbedderInput {
    public var pixels: PatchPixels; public var height: Int; public var width: Int;
    public var transformation: Transformation?; public var border: TransformationBorder
    public init(
        pixels: PatchPixels, height: Int, width: Int, transformation: Transformation? = nil,
        border: TransformationBorder = .reflect
    ) {
        self.pixels = pixels; self.height = height; self.width = width; self.transformation = transformation;
        self.border = border
    }
}
extension Model {
    public var sampler: TransformationSampler? { nil }
    public func transform(_ input: EmbedderInput, into: UnsafeMutablePointer<UInt8>) {}
}
extension Embedder {
    public func embed(_ inputs: UnsafeBufferPointer<EmbedderInput>, _ selection: LayerSelection, crew: Crew? = nil)
        -> EmbeddingBatch
    {
        let patches = inputs.map(\.pixels); return patches.withUnsafeBufferPointer { embed($0, selection, crew: crew) }
    }
}

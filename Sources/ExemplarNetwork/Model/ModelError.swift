/// What a model could not be loaded for: one sentence that names the file, the key or the tensor and says what to do.
public struct ModelError: Error, Sendable, CustomStringConvertible {
    public var description: String

    public init(_ description: String) {
        self.description = description
    }
}

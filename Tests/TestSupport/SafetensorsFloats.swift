public import Safetensors

extension SafetensorsFile {
    /// Reads and validates the file at `path`.
    public convenience init(path: String) throws(SafetensorsError) {
        try self.init(reading: OpenedFile(path: path))
    }

    /// A floating-point tensor as float32; nil where it holds integers or float64.
    public func floats(of tensor: Tensor) -> [Float]? {
        var isFloatingPoint = true
        let values = [Float](unsafeUninitializedCapacity: tensor.count) { buffer, count in
            guard let output = buffer.baseAddress else { return }
            isFloatingPoint = read(0..<tensor.count, of: tensor, into: output)
            count = isFloatingPoint ? tensor.count : 0
        }
        return isFloatingPoint ? values : nil
    }
}

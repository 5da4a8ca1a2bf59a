import KernelInterface
import Safetensors

/// A parameter tensor in the file that it came in: read where it lies, and packed from there.
struct StoredTensor {
    let type: WeightType
    private let file: SafetensorsFile
    private let tensor: SafetensorsFile.Tensor

    /// - Throws: `ModelError` if the file has no such tensor of weights, or if it has not `count` values.
    init(_ name: String, count: Int, in file: SafetensorsFile) throws(ModelError) {
        guard let tensor = file.tensors[name], let type = WeightType(tensor.type) else {
            throw ModelError("The tensor \(name) is missing or not F32, F16 or BF16.")
        }
        guard tensor.count == count else {
            throw ModelError("The tensor \(name) has \(tensor.count) values; \(count) are wanted.")
        }
        self.type = type
        self.file = file
        self.tensor = tensor
    }

    /// Reads some values as float32, exactly.
    func read(_ range: Range<Int>, into output: UnsafeMutablePointer<Float>) {
        _ = file.read(range, of: tensor, into: output)
    }

    /// Reads some values of a 16-bit type as they are.
    func read(_ range: Range<Int>, into output: UnsafeMutablePointer<UInt16>) {
        let bytes = file.bytes(of: tensor)
        for (index, position) in range.enumerated() {
            output[index] = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * position, as: UInt16.self))
        }
    }
}

extension WeightType {
    /// nil for types that hold no weights.
    init?(_ type: ElementType) {
        switch type {
        case .float32: self = .float32
        case .float16: self = .float16
        case .bfloat16: self = .bfloat16
        default: return nil
        }
    }

    /// How `file` holds the tensor `name`; float32 where it has no such tensor of weights.
    init(of name: String, in file: SafetensorsFile) {
        self = file.tensors[name].flatMap { WeightType($0.type) } ?? .float32
    }
}

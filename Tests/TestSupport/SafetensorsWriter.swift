import ExemplarNetwork
public import Safetensors

/// Builds a safetensors file in memory: tensors in the order in which they are added, without holes.
public struct SafetensorsWriter {
    private var header: [String] = []
    private var names: Set<String> = []
    private var data: [UInt8] = []

    /// `__metadata__`.
    public var metadata: KeyValuePairs<String, String> = [:]

    public init() {}

    /// Adds a tensor of bytes as they will stand in the file, little-endian.
    ///
    /// - Throws: `ModelError` if the name is taken or the bytes do not fill the shape.
    public mutating func add(
        _ name: String, _ type: ElementType, shape: [Int], bytes: some Collection<UInt8>
    ) throws {
        guard names.insert(name).inserted, name != "__metadata__" else {
            throw ModelError("the name \(name) is taken")
        }
        guard bytes.count == shape.reduce(type.byteCount, *) else {
            throw ModelError(
                "the tensor \(name) has \(bytes.count) bytes; \(shape) of \(type.rawValue) are wanted")
        }
        let start = data.count
        data += bytes
        let offsets = "[\(start),\(data.count)]"
        header.append(
            "\(quoted(name)):{\"dtype\":\"\(type.rawValue)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}")
    }

    /// Adds a float32 tensor.
    public mutating func add(_ name: String, shape: [Int], _ values: [Float]) throws {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(values.count * 4)
        for value in values { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 } }
        try add(name, .float32, shape: shape, bytes: bytes)
    }

    /// The file.
    public var bytes: [UInt8] {
        let strings = metadata.map { "\(quoted($0.key)):\(quoted($0.value))" }.joined(separator: ",")
        let all = (strings.isEmpty ? [] : ["\"__metadata__\":{\(strings)}"]) + header
        let text = Array("{\(all.joined(separator: ","))}".utf8)
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text + data
    }

    private func quoted(_ text: String) -> String {
        let escaped = text.unicodeScalars.map { scalar in
            switch scalar {
            case "\"", "\\": "\\\(scalar)"
            case " "...: String(scalar)
            default: "\\u00" + String(scalar.value >> 4, radix: 16) + String(scalar.value & 15, radix: 16)
            }
        }
        return "\"\(escaped.joined())\""
    }
}

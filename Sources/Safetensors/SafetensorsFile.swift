/// A safetensors file, read into memory and validated whole before one tensor is handed out. Its memory is given back
/// when the last reference goes.
///
/// The format: eight bytes of little-endian header length, a JSON object that gives each tensor's `dtype`, `shape`
/// and `data_offsets`, then the data, which the tensors cover without holes or overlap.
public final class SafetensorsFile: Sendable {
    /// The longest header that is read, in bytes, as in the format's reference implementation.
    public static let maximumHeaderLength = 100_000_000
    /// The most extents of a tensor's shape.
    public static let maximumRank = 8

    /// By name.
    public let tensors: [String: Tensor]
    /// The file's `__metadata__`.
    public let metadata: [String: String]
    private let contents: FileContents

    /// Where a tensor lies.
    public struct Tensor: Sendable, Equatable {
        public let type: ElementType
        public let shape: [Int]
        /// In bytes, from the file's start.
        public let range: Range<Int>
        /// The product of the shape.
        public let count: Int
    }

    /// Reads and validates an opened file.
    ///
    /// - Parameter share: what the file's memory is part of, held for as long as it.
    /// - Throws: `SafetensorsError` where the file is not what it must be, or changes while it is being read.
    public convenience init(
        reading file: borrowing OpenedFile, holding share: (any AnyObject & Sendable)? = nil
    ) throws(SafetensorsError) {
        try self.init(contents: FileContents(reading: file, holding: share), name: file.path)
    }

    /// Validates a copy of `bytes`; `name` begins the sentences of its errors.
    public convenience init(bytes: [UInt8], name: String) throws(SafetensorsError) {
        try self.init(contents: FileContents(copying: bytes), name: name)
    }

    private init(contents: FileContents, name: String) throws(SafetensorsError) {
        self.contents = contents
        do {
            (tensors, metadata) = try SafetensorsHeader.parse(contents.bytes)
        } catch {
            throw SafetensorsError("\(name): \(error)")
        }
    }

    /// The whole file, for a checksum; valid while the file object lives.
    public var bytes: UnsafeRawBufferPointer { contents.bytes }

    /// The bytes of one tensor, at any alignment; valid while the file object lives.
    public func bytes(of tensor: Tensor) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: contents.bytes[tensor.range])
    }

    /// Reads the values of a tensor with these indices as float32, exactly.
    ///
    /// - Parameter range: within 0 ..< `tensor.count`.
    /// - Returns: false, with nothing read, where the tensor holds integers or float64.
    public func read(_ range: Range<Int>, of tensor: Tensor, into output: UnsafeMutablePointer<Float>) -> Bool {
        let bytes = UnsafeRawBufferPointer(
            rebasing: bytes(of: tensor)[
                range.lowerBound * tensor.type.byteCount..<range.upperBound * tensor.type.byteCount])
        func read<Bits: FixedWidthInteger & BitwiseCopyable>(_ type: Bits.Type, _ convert: (Bits) -> Float) {
            for index in 0..<range.count {
                output[index] = convert(
                    Bits(
                        littleEndian: bytes.loadUnaligned(
                            fromByteOffset: index * MemoryLayout<Bits>.size, as: Bits.self)))
            }
        }
        switch tensor.type {
        case .float32: read(UInt32.self) { Float(bitPattern: $0) }
        case .bfloat16: read(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
        case .float16: read(UInt16.self, float(fromHalf:))
        default: return false
        }
        return true
    }

    /// Whether every value of a tensor is a finite number that `read` can read: no infinity, no NaN.
    public func isFinite(_ tensor: Tensor) -> Bool {
        let bytes = bytes(of: tensor)
        // Infinities and NaN have every bit of the exponent. The loop neither leaves early nor goes in strides: the
        // compiler makes it of vectors, and it takes a millisecond for 22 MB in place of nine.
        func lacks<Bits: FixedWidthInteger & BitwiseCopyable>(exponent: Bits) -> Bool {
            var largest: Bits = 0
            for index in 0..<tensor.count {
                let offset = index &* MemoryLayout<Bits>.size
                let bits = Bits(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Bits.self))
                largest = max(largest, bits & exponent)
            }
            return largest < exponent
        }
        switch tensor.type {
        case .float32: return lacks(exponent: 0x7F80_0000 as UInt32)
        case .bfloat16: return lacks(exponent: 0x7F80 as UInt16)
        case .float16: return lacks(exponent: 0x7C00 as UInt16)
        default: return false
        }
    }
}

/// The value of an IEEE 754 binary16, exactly. By hand, because `Float16` does not exist on every Intel platform.
func float(fromHalf bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0:
        let magnitude = Float(fraction) * 0x1p-24
        return sign == 0 ? magnitude : -magnitude
    case 31: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
}

/// The types that the format knows.
public enum ElementType: String, Sendable, CaseIterable {
    case bool = "BOOL"
    case uint8 = "U8"
    case int8 = "I8"
    case uint16 = "U16"
    case int16 = "I16"
    case uint32 = "U32"
    case int32 = "I32"
    case uint64 = "U64"
    case int64 = "I64"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case float32 = "F32"
    case float64 = "F64"

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .bool, .uint8, .int8: 1
        case .uint16, .int16, .float16, .bfloat16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        }
    }
}

/// Why a file was refused: one sentence that names the file and the tensor.
public struct SafetensorsError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String

    /// A text of the file's that it quotes may be megabytes.
    init(_ description: String) {
        let most = 4096
        // Of scalars, since one character may have thousands.
        let beginning = description.unicodeScalars.prefix(most / 4)
        self.description =
            description.utf8.count <= most ? description : String(String.UnicodeScalarView(beginning)) + "…"
    }
}

import ExemplarNetwork
import Glibc
import JSONRPC

/// The decoded pixels of a request: entries of one size, one after the other.
///
/// Unchecked: written once, by `init`.
final class PixelBlock: @unchecked Sendable {
    let count: Int
    private let base: UnsafeMutableRawPointer
    private let byteCount: Int
    private let format: PatchPixels.Format
    private let shape: InputEntries.Shape

    deinit { base.deallocate() }

    /// Decodes entries of `valueCount` values each.
    ///
    /// - Parameter shape: of one entry, for the error.
    /// - Throws: an error that names the entry where base64, the number of bytes or a value is wrong.
    init(_ inputs: InputEntries, type: InputEntries.ElementType, shape: InputEntries.Shape) throws(ResponseError) {
        count = inputs.entries.count
        format = type == .u8 ? .uint8 : .float32
        self.shape = shape
        let valueCount = shape.height * shape.width * shape.channels
        byteCount = valueCount * type.byteCount
        // Base64 is four characters for three bytes: an entry that is far too short or too long is refused before
        // there is memory for all of them.
        for (index, entry) in inputs.entries.enumerated()
        where !entry.isEscaped && !(byteCount...byteCount + 2).contains(entry.base64Capacity) {
            // Whatever else is wrong with its base64 is the better news.
            var room = [UInt8](repeating: 0, count: min(entry.base64Capacity, byteCount))
            try Self.decode(entry, index, into: &room, wanted: byteCount, type, shape)
        }
        base = .allocate(byteCount: max(count * byteCount, 1), alignment: 16)
        for (index, entry) in inputs.entries.enumerated() {
            let target = UnsafeMutableRawBufferPointer(start: base + index * byteCount, count: byteCount)
            let decoded: Int
            do throws(Base64Error) {
                decoded = try entry.decodeBase64(into: target)
            } catch {
                throw Self.error(index, error, wanted: byteCount, type, shape)
            }
            guard decoded == byteCount else {
                throw Self.wrongCount(index, decoded, wanted: byteCount, type, shape)
            }
            if type == .f32 { try Self.check(target, index) }
        }
    }

    private static func decode(
        _ entry: EncodedString, _ index: Int, into room: inout [UInt8], wanted: Int,
        _ type: InputEntries.ElementType, _ shape: InputEntries.Shape
    ) throws(ResponseError) {
        let result = room.withUnsafeMutableBytes { room in
            Result { () throws(Base64Error) in try entry.decodeBase64(into: room) }
        }
        switch result {
        case .success(let decoded) where decoded != wanted:
            throw wrongCount(index, decoded, wanted: wanted, type, shape)
        case .success: break
        case .failure(let error): throw Self.error(index, error, wanted: wanted, type, shape)
        }
    }

    func input(of entry: Int) -> EmbedderInput {
        EmbedderInput(
            pixels: PatchPixels(address: base + entry * byteCount, format: format), height: shape.height,
            width: shape.width)
    }

    private static func error(
        _ index: Int, _ error: Base64Error, wanted: Int, _ type: InputEntries.ElementType, _ shape: InputEntries.Shape
    ) -> ResponseError {
        if case .capacity(let found) = error { return wrongCount(index, found, wanted: wanted, type, shape) }
        return .invalidParameter("patches", "Entry \(index) of `patches` \(error.explanation).")
    }

    private static func wrongCount(
        _ index: Int, _ found: Int, wanted: Int, _ type: InputEntries.ElementType, _ shape: InputEntries.Shape
    ) -> ResponseError {
        .invalidParameter(
            "patches",
            "Entry \(index) of `patches` holds \(found) bytes; a patch of \(shape.height) x \(shape.width) x "
                + "\(shape.channels) values of dtype \(type.rawValue) has \(wanted).")
    }

    /// Every value in [0, 1], which NaN is not.
    private static func check(_ values: UnsafeMutableRawBufferPointer, _ index: Int) throws(ResponseError) {
        for offset in stride(from: 0, to: values.count, by: 4) {
            let value = Float(
                bitPattern: UInt32(littleEndian: values.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            guard value >= 0, value <= 1 else {
                throw .invalidParameter(
                    "patches",
                    "Entry \(index) of `patches` has the value \(value) at position \(offset / 4); values of dtype f32 "
                        + "lie in 0 to 1, where 1 stands for the pixel 255.")
            }
        }
    }
}

import ExemplarNetwork
import Images
import JSONRPC

/// The decoded pixels of a request, its entries one after the other.
///
/// Unchecked: written once, by whoever made it, before anybody else sees it.
final class InputBlock: @unchecked Sendable {
    struct Entry: Sendable {
        let height: Int
        let width: Int
        /// Bytes before it.
        let offset: Int

        init(height: Int, width: Int, offset: Int = 0) {
            self.height = height
            self.width = width
            self.offset = offset
        }
    }

    let entries: [Entry]
    private let base: UnsafeMutableRawPointer
    private let format: PatchPixels.Format

    deinit { base.deallocate() }

    func pixels(of entry: Int) -> PatchPixels {
        PatchPixels(address: base + entries[entry].offset, format: format)
    }

    /// Room for images of known sizes, each of which is to be `put` into its place.
    init(_ entries: [Entry], channels: Raster.Channels) {
        self.entries = entries
        format = .uint8
        base = .allocate(byteCount: max(Self.byteCount(of: entries, channels), 1), alignment: 16)
    }

    /// - Parameter image: of the entry's size.
    func put(_ image: Raster, at index: Int) {
        let entry = entries[index]
        image.pixels.withUnsafeBytes { pixels in
            assert(pixels.count == entry.height * entry.width * image.channels.count, "not the size of its place")
            UnsafeMutableRawBufferPointer(start: base + entry.offset, count: pixels.count).copyMemory(from: pixels)
        }
    }

    /// Bytes of 8-bit pixels up to the end of the last entry.
    static func byteCount(of entries: [Entry], _ channels: Raster.Channels) -> Int {
        entries.last.map { $0.offset + $0.height * $0.width * channels.count } ?? 0
    }

    /// Refuses entries whose lengths cannot be those of `shape`, at no cost for those that may be. Base64 is four
    /// characters for three bytes, so that entries which pass take no more memory than their line.
    ///
    /// - Throws: an error that names the first such entry.
    static func checkLengths(
        _ encoded: [EncodedString], type: InputEntries.ElementType, shape: InputEntries.Shape
    ) throws(ResponseError) {
        let size = shape.height * shape.width * shape.channels * type.byteCount
        // Escapes only shorten a string.
        for (index, entry) in encoded.enumerated()
        where entry.base64Capacity < size || !entry.isEscaped && entry.base64Capacity > size + 2 {
            var room = [UInt8](repeating: 0, count: min(entry.base64Capacity, size))
            let result = room.withUnsafeMutableBytes { room in
                Result { () throws(ResponseError) in
                    try Self.decode(entry, index, into: room, wanted: size, type, shape)
                }
            }
            try result.get()
        }
    }

    /// Decodes raw pixels, entries of one shape whose lengths are checked.
    ///
    /// - Throws: an error that names the entry where base64, the number of bytes or a value is wrong.
    init(
        _ encoded: [EncodedString], type: InputEntries.ElementType, shape: InputEntries.Shape
    ) throws(ResponseError) {
        format = type == .u8 ? .uint8 : .float32
        let size = shape.height * shape.width * shape.channels * type.byteCount
        base = .allocate(byteCount: max(encoded.count * size, 1), alignment: 16)
        entries = encoded.indices.map { Entry(height: shape.height, width: shape.width, offset: $0 * size) }
        for (index, entry) in encoded.enumerated() {
            let target = UnsafeMutableRawBufferPointer(start: base + index * size, count: size)
            try Self.decode(entry, index, into: target, wanted: size, type, shape)
            if type == .f32 { try Self.check(target, index) }
        }
    }

    private static func decode(
        _ entry: EncodedString, _ index: Int, into target: UnsafeMutableRawBufferPointer, wanted: Int,
        _ type: InputEntries.ElementType, _ shape: InputEntries.Shape
    ) throws(ResponseError) {
        var found: Int
        do throws(Base64Error) {
            found = try entry.decodeBase64(into: target)
        } catch .capacity(let byteCount) {
            found = byteCount
        } catch {
            throw .invalidParameter("patches", "Entry \(index) of `patches` \(error.explanation).")
        }
        guard found == wanted else {
            throw .invalidParameter(
                "patches",
                "Entry \(index) of `patches` holds \(found) bytes; a patch of \(shape.height) x \(shape.width) x "
                    + "\(shape.channels) values of dtype \(type.rawValue) has \(wanted).")
        }
    }

    /// Every value in [0, 1], which NaN is not.
    private static func check(_ values: UnsafeMutableRawBufferPointer, _ index: Int) throws(ResponseError) {
        for offset in stride(from: 0, to: values.count, by: 4) {
            let bits = UInt32(littleEndian: values.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            let value = Float(bitPattern: bits)
            guard value >= 0, value <= 1 else {
                throw .invalidParameter(
                    "patches",
                    "Entry \(index) of `patches` has the value \(value) at position \(offset / 4); values of dtype f32 "
                        + "lie in 0 to 1, where 1 stands for the pixel 255.")
            }
        }
    }
}

import JSONRPC

/// The `.npy` format, version 1.0: `numpy.lib.format` in NumPy's documentation.
enum NumpyFormat {
    /// Everything before the values of a float32 matrix in row-major order. Its size is a multiple of 64, so that
    /// the values can be mapped into memory aligned.
    static func header(rows: Int, columns: Int) -> ByteBuffer {
        let dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(rows), \(columns)), }"
        let prefix = 10  // The magic string, the version and the length of what follows.
        let unpadded = prefix + dictionary.utf8.count + 1
        let total = (unpadded + 63) / 64 * 64
        var header = ByteBuffer(capacity: total)
        for byte in [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 1, 0] as [UInt8] { header.append(byte) }
        header.append(UInt8((total - prefix) & 0xFF))
        header.append(UInt8((total - prefix) >> 8 & 0xFF))
        header.append(utf8: dictionary + String(repeating: " ", count: total - unpadded) + "\n")
        return header
    }
}

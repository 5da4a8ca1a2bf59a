import ExemplarNetwork
import JSONRPC

/// Where a patch came from.
struct PatchOrigin: Equatable {
    var file: String
    var position: PatchPosition
}

/// Embeddings as the command line writes them.
extension Embeddings {
    /// How many embeddings there are.
    var rows: Int { dimension == 0 ? 0 : values.count / dimension }

    /// One line of JSON: the members of the server's reply to `embed`, and `patches`, which says whose row is whose.
    /// Every number parses back to the same float32.
    func json(origins: [PatchOrigin]) -> ByteBuffer {
        var text = ByteBuffer(capacity: values.count * 12 + origins.count * 64 + 256)
        text.append("{\"model\":")
        text.append(jsonString: model)
        text.append(",\"layers\":")
        text.append(json: .array(layers.map { .string($0) }))
        text.append(",\"dim\":")
        text.append(json: .int(dimension))
        text.append(",\"patches\":")
        text.append(
            json: .array(
                origins.map { origin in
                    .object([
                        JSONValue.Member("file", .string(origin.file)),
                        JSONValue.Member("x", .int(origin.position.x)), JSONValue.Member("y", .int(origin.position.y)),
                    ])
                }))
        text.append(",\"embeddings\":[")
        for row in 0..<rows {
            text.append(row == 0 ? "[" : ",[")
            for column in 0..<dimension {
                if column > 0 { text.append(UInt8(ascii: ",")) }
                text.append(jsonNumber: values[row * dimension + column])
            }
            text.append(UInt8(ascii: "]"))
        }
        text.append("]}\n")
        return text
    }

    /// A NumPy file, float32 of shape (rows, dimension).
    func npy() -> ByteBuffer {
        var file = ByteBuffer(capacity: values.count * 4 + 256)
        file.append(contentsOf: NumpyFormat.header(rows: rows, columns: dimension))
        for value in values {
            withUnsafeBytes(of: value.bitPattern.littleEndian) { file.append(contentsOf: $0) }
        }
        return file
    }

    /// Divides every row by its length, as the server does; a row of zeros stays as it is.
    mutating func normalize() {
        let dimension = dimension
        values.withUnsafeMutableBufferPointer { normalizeRows($0, dimension: dimension) }
    }
}

/// A reply: an id and a result or an error.
public struct Response {
    /// What is answered.
    public enum Content {
        /// A result of few values.
        case result(JSONValue)
        /// The result of `embed`.
        case embeddings(EmbeddingResult)
        /// A result that writes itself: one JSON value.
        case written((inout ByteBuffer) -> Void)
        /// An error.
        case failure(ResponseError)
    }

    /// The id of the request.
    public var id: RequestID
    /// What is answered.
    public var content: Content

    /// A reply.
    public init(id: RequestID, content: Content) {
        self.id = id
        self.content = content
    }

    /// Appends the reply as one JSON object, without an LF.
    public func write(to buffer: inout ByteBuffer) {
        buffer.append("{\"jsonrpc\":\"2.0\",\"id\":")
        id.json.withUnsafeBytes { buffer.append(contentsOf: $0) }
        switch content {
        case .result(let value):
            buffer.append(",\"result\":")
            buffer.append(json: value)
        case .embeddings(let result):
            buffer.append(",\"result\":")
            result.write(to: &buffer)
        case .written(let write):
            buffer.append(",\"result\":")
            write(&buffer)
        case .failure(let error):
            buffer.append(",\"error\":{\"code\":")
            buffer.append(utf8: error.code.rawValue.description)
            buffer.append(",\"message\":")
            buffer.append(jsonString: error.message)
            buffer.append(",\"data\":")
            buffer.append(json: .object(error.data))
            buffer.append(UInt8(ascii: "}"))
        }
        buffer.append(UInt8(ascii: "}"))
    }

    /// Appends the reply as a line of its own, with its LF.
    public func writeLine(to buffer: inout ByteBuffer) {
        write(to: &buffer)
        buffer.append(UInt8(ascii: "\n"))
    }
}

/// The result of `embed`.
public struct EmbeddingResult {
    /// The name of the model that answered.
    public var model: String
    /// The layers concatenated, in the order of the network.
    public var layers: [String]
    /// The length of one embedding.
    public var dimension: Int
    /// How the embeddings are written.
    public var encoding: EmbedRequest.Encoding
    /// The embeddings, row-major [count, dimension], one row for each entry in the order sent. Borrowed: it must live
    /// until the reply is written.
    public var values: UnsafeBufferPointer<Float>
    /// Writes the value of the member `transform`; nil for no such member.
    public var transform: ((inout ByteBuffer) -> Void)?

    /// A result.
    public init(
        model: String, layers: [String], dimension: Int, encoding: EmbedRequest.Encoding,
        values: UnsafeBufferPointer<Float>, transform: ((inout ByteBuffer) -> Void)? = nil
    ) {
        self.model = model
        self.layers = layers
        self.dimension = dimension
        self.encoding = encoding
        self.values = values
        self.transform = transform
    }

    /// At most how many bytes one embedding of `dimension` values takes in a reply, with the comma behind it.
    public static func rowByteCount(dimension: Int, encoding: EmbedRequest.Encoding) -> Int {
        // A float32 takes at most 15 characters ("-1.17549435e-38") and a comma.
        encoding == .base64 ? Base64.encodedCount(dimension * 4) + 3 : dimension * 16 + 3
    }

    func write(to buffer: inout ByteBuffer) {
        buffer.append("{\"model\":")
        buffer.append(jsonString: model)
        buffer.append(",\"layers\":")
        buffer.append(json: .array(layers.map(JSONValue.string)))
        buffer.append(",\"dim\":")
        buffer.append(utf8: dimension.description)
        buffer.append(",\"encoding\":\"")
        buffer.append(utf8: encoding.rawValue)
        buffer.append("\",\"embeddings\":")
        buffer.append(jsonArrayOf: 0..<(dimension > 0 ? values.count / dimension : 0)) { buffer, row in
            let row = UnsafeBufferPointer(rebasing: values[(row * dimension)..<((row + 1) * dimension)])
            switch encoding {
            case .base64: write(base64: row, to: &buffer)
            case .float: buffer.append(jsonArrayOf: row) { $0.append(jsonNumber: $1) }
            }
        }
        if let transform {
            buffer.append(",\"transform\":")
            transform(&buffer)
        }
        buffer.append(UInt8(ascii: "}"))
    }

    private func write(base64 row: UnsafeBufferPointer<Float>, to buffer: inout ByteBuffer) {
        #if _endian(little)
            buffer.append(jsonBase64: UnsafeRawBufferPointer(row))
        #else
            row.map(\.bitPattern.littleEndian).withUnsafeBytes { buffer.append(jsonBase64: $0) }
        #endif
    }
}

/// Collects the replies to a JSON-RPC batch, which may come in any order, into one line.
public struct BatchReply: Sendable {
    private var collected = ByteQueue()
    private var missing: Int

    /// Waits for `count` replies: as many as the batch has entries with an id.
    public init(expecting count: Int) {
        missing = max(count, 0)
    }

    /// Adds a reply, as `Response.write` wrote it. Returns the finished line, with its LF, when it is the last one
    /// expected.
    public mutating func add(_ reply: ByteBuffer) -> ByteQueue? {
        guard missing > 0 else { return nil }
        collected.append(collected.isEmpty ? "[" : ",")
        collected.append(reply)
        missing -= 1
        guard missing == 0 else { return nil }
        collected.append("]\n")
        defer { collected = ByteQueue() }
        return collected
    }

    /// The bytes collected so far.
    public var byteCount: Int { collected.count }

    /// The bytes of storage held for them.
    public var capacity: Int { collected.capacity }
}

/// A request as a client writes it.
public struct OutgoingRequest {
    /// The id that the reply will carry.
    public var id: RequestID
    /// The method.
    public var method: String
    /// The parameters, in order.
    public var params: [JSONValue.Member]

    /// A request.
    public init(id: RequestID, method: String, params: [JSONValue.Member] = []) {
        self.id = id
        self.method = method
        self.params = params
    }

    /// Appends the request as a line of its own, with its LF.
    public func writeLine(to buffer: inout ByteBuffer) {
        writeHead(to: &buffer)
        buffer.append(json: .object(params))
        buffer.append("}\n")
    }

    /// Appends the request as a line of its own, with `patches` as its first parameter.
    ///
    /// - Parameter patches: raw pixels, one patch after the other, `patchByteCount` bytes each; what is left over is
    ///   not sent.
    public func writeLine(
        withPatches patches: UnsafeRawBufferPointer, patchByteCount: Int, to buffer: inout ByteBuffer
    ) {
        writeHead(to: &buffer)
        buffer.append("{\"patches\":[")
        let size = max(patchByteCount, 1)
        for patch in 0..<(patches.count / size) {
            buffer.append(patch == 0 ? "\"" : ",\"")
            buffer.append(base64: UnsafeRawBufferPointer(rebasing: patches[(patch * size)..<((patch + 1) * size)]))
            buffer.append("\"")
        }
        buffer.append("]")
        for member in params {
            buffer.append(",")
            buffer.append(jsonString: member.key)
            buffer.append(":")
            buffer.append(json: member.value)
        }
        buffer.append("}}\n")
    }

    private func writeHead(to buffer: inout ByteBuffer) {
        buffer.append("{\"jsonrpc\":\"2.0\",\"id\":")
        id.json.withUnsafeBytes { buffer.append(contentsOf: $0) }
        buffer.append(",\"method\":")
        buffer.append(jsonString: method)
        buffer.append(",\"params\":")
    }
}

/// An error that a server answered with.
public struct RemoteError: Error, Equatable, Sendable {
    /// The code; see `ErrorCode`.
    public var code: Int
    /// The server's sentence.
    public var message: String
    /// The server's details, null where it sent none.
    public var data: JSONValue

    /// The code's documented meaning, or nil for one that this version does not know.
    public var errorCode: ErrorCode? { ErrorCode(rawValue: code) }
}

/// A reply as a client reads it. The result refers to the line and to the scanner: use it before either changes.
public struct Reply {
    /// The id of the request answered.
    public var id: RequestID
    /// What the server answered.
    public var result: Result<JSONNode, RemoteError>

    /// Reads a line, or returns nil if it is no reply of JSON-RPC 2.0.
    public init?(line: UnsafeRawBufferPointer, scanner: inout JSONScanner) {
        guard let node = try? scanner.scan(line), node["jsonrpc"]?.isString("2.0") ?? false,
            let id = node["id"].flatMap({ RequestID($0) })
        else { return nil }
        self.id = id
        if let result = node["result"], node["error"] == nil {
            self.result = .success(result)
        } else if let error = node["error"], let code = error["code"]?.int, let message = error["message"]?.string {
            result = .failure(RemoteError(code: code, message: message, data: error["data"]?.value ?? .null))
        } else {
            return nil
        }
    }
}

/// Embeddings as a client holds them.
public struct Embeddings: Equatable, Sendable {
    /// The model that answered.
    public var model: String
    /// The layers concatenated.
    public var layers: [String]
    /// The length of one embedding.
    public var dimension: Int
    /// The embeddings, row-major [count, dimension].
    public var values: [Float]

    /// Embeddings from elsewhere than a reply.
    public init(model: String, layers: [String], dimension: Int, values: [Float]) {
        self.model = model
        self.layers = layers
        self.dimension = dimension
        self.values = values
    }

    /// Takes the rows of `other` behind its own; false, and takes none, where they are not of the same kind: another
    /// model answered, or one of other layers.
    public mutating func append(_ other: Embeddings) -> Bool {
        guard other.model == model, other.layers == layers, other.dimension == dimension else { return false }
        values += other.values
        return true
    }

    /// Reads the result of `embed`, in either encoding; nil if it is none.
    public init?(result: JSONNode) {
        guard let model = result["model"]?.string, let dimension = result["dim"]?.int, dimension > 0,
            dimension < 1 << 40, let layers = result["layers"]?.elements, let rows = result["embeddings"]?.elements
        else { return nil }
        self.model = model
        self.layers = layers.compactMap(\.string)
        self.dimension = dimension
        values = []
        for row in rows {
            guard let values = row.stringSlice.map({ Self.decode($0, dimension) }) ?? Self.numbers(row),
                values.count == dimension
            else { return nil }
            self.values += values
        }
    }

    private static func numbers(_ row: JSONNode) -> [Float]? {
        row.elements.map { $0.compactMap { $0.double.map(Float.init) } }
    }

    private static func decode(_ text: EncodedString, _ dimension: Int) -> [Float]? {
        // Checked before the memory is taken: a reply that lies about `dim` costs nothing.
        guard text.base64Capacity >= dimension * 4 else { return nil }
        var row = [UInt32](repeating: 0, count: dimension)
        let decoded = row.withUnsafeMutableBytes { row in
            Result { () throws(Base64Error) in try text.decodeBase64(into: row) }
        }
        guard case .success(dimension * 4) = decoded else { return nil }
        return row.map { Float(bitPattern: UInt32(littleEndian: $0)) }
    }
}

extension ByteBuffer {
    /// Appends `value` as compact JSON. Never writes a raw LF.
    public mutating func append(json value: JSONValue) {
        switch value {
        case .null: append("null")
        case .bool(let value): append(value ? "true" : "false")
        case .int(let value): append(utf8: value.description)
        case .double(let value): append(jsonNumber: value)
        case .string(let value): append(jsonString: value)
        case .array(let elements): append(jsonArrayOf: elements) { $0.append(json: $1) }
        case .object(let members): append(jsonObject: members)
        }
    }

    /// Appends an array of what `write` appends for each of `elements`.
    @inlinable
    public mutating func append<Elements: Sequence>(
        jsonArrayOf elements: Elements, _ write: (inout ByteBuffer, Elements.Element) -> Void
    ) {
        append(UInt8(ascii: "["))
        var isFirst = true
        for element in elements {
            if !isFirst { append(UInt8(ascii: ",")) }
            isFirst = false
            write(&self, element)
        }
        append(UInt8(ascii: "]"))
    }

    /// Appends an object with `members` in their order.
    mutating func append(jsonObject members: [JSONValue.Member]) {
        append(UInt8(ascii: "{"))
        var isFirst = true
        for member in members {
            if !isFirst { append(UInt8(ascii: ",")) }
            isFirst = false
            append(jsonString: member.key)
            append(UInt8(ascii: ":"))
            append(json: member.value)
        }
        append(UInt8(ascii: "}"))
    }

    /// Appends `text` as a JSON string, with its quotes.
    public mutating func append(jsonString text: String) {
        var text = text
        append(UInt8(ascii: "\""))
        text.withUTF8 { text in
            let bytes = UnsafeRawBufferPointer(text)
            var start = 0
            for (index, byte) in bytes.enumerated() where byte < 0x20 || byte == 0x22 || byte == 0x5C {
                append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start..<index]))
                start = index + 1
                append(escaping: byte)
            }
            append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start...]))
        }
        append(UInt8(ascii: "\""))
    }

    /// How many bytes `append(jsonString:)` appends for `text`.
    public static func byteCount(ofJSONString text: String) -> Int {
        text.utf8.reduce(2) { count, byte in
            switch byte {
            case 0x22, 0x5C, 0x0A, 0x0D, 0x09: count + 2
            case ..<0x20: count + 6
            default: count + 1
            }
        }
    }

    /// Appends the base64 of `bytes` as a JSON string, with its quotes.
    public mutating func append(jsonBase64 bytes: UnsafeRawBufferPointer) {
        append(UInt8(ascii: "\""))
        append(base64: bytes)
        append(UInt8(ascii: "\""))
    }

    private mutating func append(escaping byte: UInt8) {
        switch byte {
        case 0x22: append("\\\"")
        case 0x5C: append("\\\\")
        case 0x0A: append("\\n")
        case 0x0D: append("\\r")
        case 0x09: append("\\t")
        default:
            let digits = Array("0123456789abcdef".utf8)
            append("\\u00")
            append(digits[Int(byte >> 4)])
            append(digits[Int(byte & 15)])
        }
    }

    /// Appends `value` as the shortest JSON number that parses back to the same double, of at most 24 characters; null
    /// if it is not finite.
    public mutating func append(jsonNumber value: Double) {
        append(utf8: value.isFinite ? value.description : "null")
    }

    /// Appends `value` as the shortest JSON number that parses back to the same float32; null if it is not finite.
    public mutating func append(jsonNumber value: Float) {
        // Swift's description of a Float is the shortest that round-trips (SwiftDtoa), fits a small string, and for
        // finite values keeps to JSON's grammar.
        append(utf8: value.isFinite ? value.description : "null")
    }
}

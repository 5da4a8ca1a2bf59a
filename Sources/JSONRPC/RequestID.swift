/// The id of a request, kept byte for byte so that the reply carries exactly what was sent.
public struct RequestID: Hashable, Sendable {
    /// The id as JSON: a string with its quotes and escapes, a number with all its digits, or null.
    public let json: [UInt8]

    /// The id of replies to what cannot be read.
    public static let null = RequestID(json: Array("null".utf8))

    /// An id that counts.
    public init(_ number: Int) { json = Array(number.description.utf8) }

    init(json: [UInt8]) { self.json = json }

    /// The id that `node` is, or nil if it is neither string, number nor null.
    init?(_ node: JSONNode) {
        switch node.kind {
        case .string, .number, .null: json = Array(node.rawBytes)
        case .bool, .array, .object: return nil
        }
    }
}

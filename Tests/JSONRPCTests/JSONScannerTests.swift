import Foundation
import JSONRPC
import Testing

@Suite struct JSONScannerTests {
    private func scan(_ text: some Sequence<UInt8>) -> Result<JSONValue, JSONSyntaxError> {
        var scanner = JSONScanner()
        return Array(text).withUnsafeBytes { text in
            Result { () throws(JSONSyntaxError) in try scanner.scan(text).value }
        }
    }

    private func scan(_ text: String) -> Result<JSONValue, JSONSyntaxError> { scan(text.utf8) }

    private func problem(_ text: some Sequence<UInt8>) -> JSONSyntaxError.Problem? {
        guard case .failure(let error) = scan(text) else { return nil }
        return error.problem
    }

    static let values: [(String, JSONValue)] = [
        ("null", JSONValue.null), (" true ", true), ("false", false), ("0", 0), ("-0", 0), ("12", 12), ("1e3", 1000),
        ("-1.5E-1", -0.15), ("9223372036854775807", .int(.max)), ("-9223372036854775808", .int(.min)),
        ("9223372036854775808", .double(0x1p63)), (#""""#, ""), (#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{C}\n\r\t"),
        (#""\u0041\u00e9\u20AC\ud83d\udc0e""#, "Aé€🐎"), (#""é€🐎""#, "é€🐎"), ("[]", []), ("[ ]", []), ("{ }", [:]),
        ("[1,[2,[3]],{\"a\":[]}]", [1, [2, [3]], ["a": []]]),
        (" { \"b\" : 1 , \"a\" : null } ", ["b": 1, "a": nil]),
        ("\u{9}[\u{9}1\u{D},\u{A}2 ]", [1, 2]),
        (#""\ud800""#, "\u{FFFD}"), (#""\udc00\ud800x""#, "\u{FFFD}\u{FFFD}x"),
    ]

    @Test(arguments: values) func valid(text: String, value: JSONValue) throws {
        let found = try scan(text).get()
        if case .string(let string) = value, string.contains("\u{FFFD}") {
            // How many replacement characters stand for a lone surrogate is up to the standard library.
            guard case .string(let string) = found else {
                Issue.record("no string")
                return
            }
            #expect(string.contains("\u{FFFD}"))
        } else {
            #expect(found == value)
        }
    }

    @Test(arguments: [
        "", " ", "nul", "nulll", "True", "tru", "+1", "01", "-", "-a", "1.", ".5", "1e", "1e+", "0x10", "1 2", "NaN",
        "Infinity", "'a'", "\"", "\"a", "\"\\", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\u{1F}\"",
        "\"\u{0}\"", "\"a\tb\"", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "{", "}", "{1:2}", "{\"a\"}",
        "{\"a\":}", "{\"a\":1,}", "{\"a\":1", "{\"a\" 1}", "{,}", "{a:1}", "[]]", "{}{}", "\u{FEFF}{}", "1\u{0}",
        "GET / HTTP/1.1", "/* */ 1", "\u{A0}1",
    ]) func invalid(text: String) {
        guard case .expected? = problem(text.utf8) else {
            Issue.record("taken: \(text)")
            return
        }
        #expect(isJSONToFoundation(Array(text.utf8)) != true, "Foundation takes it")
    }

    @Test(
        arguments: [
            [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC3], [0xC3, 0x28], [0xE0, 0x9F, 0xBF], [0xE2, 0x82],
            [0xE2, 0x28, 0xA1], [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xF0, 0x8F, 0xBF, 0xBF],
            [0xF4, 0x90, 0x80, 0x80],
            [0xF0, 0x9F, 0x90], [0xF5, 0x80, 0x80, 0x80], [0xFF], [0xFE], [0xF8, 0x88, 0x80, 0x80, 0x80],
        ] as [[UInt8]]) func notUTF8(bytes: [UInt8])
    {
        // At every distance from the start, so that each way of stepping through a string meets it.
        for distance in 0..<40 {
            let text = [0x22] + [UInt8](repeating: UInt8(ascii: "a"), count: distance) + bytes + [0x22]
            #expect(problem(text) == .notUTF8, "after \(distance) bytes")
        }
        #expect(problem([0x22] + bytes) == .notUTF8)
    }

    @Test func everyScalarValueIsTaken() throws {
        for scalar in stride(from: UInt32(0x20), through: 0x10FFFF, by: 37) {
            guard let scalar = Unicode.Scalar(scalar), scalar != "\"", scalar != "\\" else { continue }
            let string = String(Character(scalar))
            #expect(try scan("\"\(string)\"").get() == .string(string))
        }
    }

    @Test func nestingUpTo32() throws {
        func nested(_ depth: Int, _ open: String, _ close: String, _ inner: String) -> String {
            String(repeating: open, count: depth) + inner + String(repeating: close, count: depth)
        }
        #expect(throws: Never.self) { try scan(nested(32, "[", "]", "")).get() }
        #expect(throws: Never.self) { try scan(nested(32, "{\"a\":", "}", "1")).get() }
        #expect(problem(nested(33, "[", "]", "").utf8) == .tooDeep(limit: 32))
        #expect(problem(nested(33, "{\"a\":", "}", "1").utf8) == .tooDeep(limit: 32))
        #expect(problem(nested(1_000_000, "[", "", "").utf8) == .tooDeep(limit: 32))
        #expect(throws: Never.self) {
            try scan("[" + nested(31, "[", "]", "") + "," + nested(31, "[", "]", "") + "]").get()
        }
    }

    @Test(arguments: [
        #"{"a":1,"a":2}"#, #"{"a":1,"b":2,"a":1}"#, #"{"a":1,"\u0061":1}"#, #"{"\/":1,"/":1}"#, #"{"":1,"":2}"#,
        #"{"\ud83d\udc0e":1,"🐎":2}"#, #"[{"b":{"a":1,"a":1}}]"#, #"{"\ud800":1,"\uD800":1}"#,
    ]) func duplicateKeys(text: String) {
        guard case .duplicateKey? = problem(text.utf8) else {
            Issue.record("taken: \(text)")
            return
        }
    }

    @Test func equalKeysInDifferentObjectsAreFine() throws {
        let text = #"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}],"A":1,"\ud800":1,"\ud801":1,"\ufffd":1}"#
        #expect(throws: Never.self) { try scan(text).get() }
    }

    /// Past a dozen keys another way of finding repeats takes over.
    @Test(arguments: [2, 12, 13, 14, 500]) func duplicatesAmongManyKeys(count: Int) throws {
        let keys = (0..<count).map { "\"key\($0)\":{\"key0\":[\($0)]}" }
        #expect(throws: Never.self) { try scan("{\(keys.joined(separator: ","))}").get() }
        for place in [0, count / 2, count - 1] {
            let text = "{\(keys.joined(separator: ",")),\"k\\u0065y\(place)\":1}"
            #expect(problem(text.utf8) == .duplicateKey("key\(place)"))
        }
    }

    /// A line full of keys takes time near to linear: 200,000 keys compared pair by pair would take minutes.
    @Test(.timeLimit(.minutes(1))) func manyKeysAreNotQuadratic() throws {
        let text = "{\((0..<200_000).map { "\"\($0)\":0" }.joined(separator: ","))}"
        #expect(throws: Never.self) { try scan(text).get() }
    }

    @Test func aScannerIsReusedFromLineToLine() throws {
        var scanner = JSONScanner()
        for line in [String(repeating: "[1,2,3],", count: 100_000), "{\"a\":1}", "[", "[1]"] {
            let text = line.hasSuffix(",") ? "[\(line)0]" : line
            let found = Array(text.utf8).withUnsafeBytes { text in
                Result { () throws(JSONSyntaxError) in try scanner.scan(text).value }
            }
            #expect(found == scan(text))
        }
    }
}

/// Asks Foundation whether a text is JSON. (JSONDecoder would not do: it looks only at what is decoded.)
///
/// Nil where Foundation is known to differ from RFC 8259: it takes a comma before a closing bracket, guesses at UTF-16
/// and UTF-32 from null bytes and byte order marks, and refuses numbers beyond a double.
func isJSONToFoundation(_ text: [UInt8]) -> Bool? {
    let string = String(decoding: text, as: UTF8.self)
    guard !text.contains(0), !string.hasPrefix("\u{FEFF}"), !text.starts(with: [0xFF, 0xFE]),
        string.firstMatch(of: /,\s*[\]}]|[eE][+-]?[0-9]{3,}/) == nil
    else { return nil }
    return (try? JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)) != nil
}

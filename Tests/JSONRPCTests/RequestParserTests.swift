import JSONRPC
import Testing

@Suite struct RequestParserTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var line: String
        var code: ErrorCode
        var id: String?
        var testDescription: String { line }

        init(_ line: String, _ code: ErrorCode, id: String? = "null") {
            (self.line, self.code, self.id) = (line, code, id)
        }
    }

    /// What would take long to read is refused where the limit is passed.
    @Test func sizesOfALine() {
        func parse(_ params: String) -> Outcome? {
            outcome(#"{"jsonrpc":"2.0","id":1,"method":"live","params":"# + params + "}").first
        }
        func members(_ count: Int) -> String {
            "{" + (0..<count).map { "\"k\($0)\":0" }.joined(separator: ",") + "}"
        }
        let many = RequestParser.maxMemberCount
        #expect(parse(members(many))?.code == .invalidParams)
        #expect(parse(members(many + 1))?.message == "An object of the line has more than \(many) members.")
        // Eight values are the request's own: its object, four keys, three values; then the array's, and its elements.
        let values = RequestParser.maxValueCount - 9
        func array(_ count: Int) -> String { "[" + Array(repeating: "0", count: count).joined(separator: ",") + "]" }
        #expect(parse(array(values))?.code == .invalidParams)
        #expect(parse(array(values + 1))?.code == .parseError)
        #expect(parse(array(values + 1))?.message?.contains("\(RequestParser.maxValueCount) values") == true)
    }

    /// `data.offset` of a parse error is the byte where reading stopped.
    @Test(arguments: [
        ("", 0), ("nul", 0), ("GET / HTTP/1.1", 0), ("{", 1), (#"{"a":1,}"#, 7), (#"{"a":1 "b":2}"#, 7), ("{}x", 2),
        ("  [1,2", 6), (#"{"é":1}x"#, 8), (#"{"a":1,"a":2}"#, 8), ("\"a\u{1}\"", 2),
    ])
    func whereReadingStops(line: String, offset: Int) {
        var parser = RequestParser()
        Array(line.utf8).withUnsafeBytes { bytes in
            guard case .single(let incoming) = parser.parse(bytes), case .failure(let error) = incoming.request else {
                Issue.record("a request")
                return
            }
            #expect(error.code == .parseError && error.data == [.init("offset", .int(offset))], "\(error)")
        }
    }

    /// One row a way to get a line wrong: the line, the code, and the id of the reply.
    static let malformed: [Row] = [
        Row("GET / HTTP/1.1", .parseError),
        Row("{", .parseError),
        Row("{}x", .parseError),
        Row(#"{"jsonrpc":"2.0","id":1,"method":"live""#, .parseError),
        Row(#"{"jsonrpc":"2.0","id":1,"id":2,"method":"live"}"#, .parseError),
        Row(#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"live"}"#, .parseError),
        Row(#"{"jsonrpc":"2.0","id":1,"method":"live","params":{"a":1,"a":1}}"#, .parseError),
        Row("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"li\tve\"}", .parseError),
        Row("[]", .invalidRequest),
        Row("42", .invalidRequest),
        Row("null", .invalidRequest),
        Row(#""live""#, .invalidRequest),
        Row("{}", .invalidRequest),
        Row(#"{"id":1}"#, .invalidRequest, id: "1"),
        Row(#"{"id":1,"method":"live"}"#, .invalidRequest, id: "1"),
        Row(#"{"jsonrpc":2.0,"id":1,"method":"live"}"#, .invalidRequest, id: "1"),
        Row(#"{"jsonrpc":"1.0","id":"x","method":"live"}"#, .invalidRequest, id: "\"x\""),
        Row(#"{"jsonrpc":"2.0","id":1}"#, .invalidRequest, id: "1"),
        Row(#"{"jsonrpc":"2.0","id":1,"method":7}"#, .invalidRequest, id: "1"),
        Row(#"{"jsonrpc":"2.0","id":1,"method":null}"#, .invalidRequest, id: "1"),
        Row(#"{"jsonrpc":"2.0","id":true,"method":"live"}"#, .invalidRequest),
        Row(#"{"jsonrpc":"2.0","id":[1],"method":"live"}"#, .invalidRequest),
        Row(#"{"jsonrpc":"2.0","id":{},"method":"live"}"#, .invalidRequest),
        Row(#"{"jsonrpc":"2.0","id":{}}"#, .invalidRequest),
        Row(#"{"method":"live"}"#, .invalidRequest),
        Row(#"{"jsonrpc":"2.0","id":1,"method":"lives"}"#, .methodNotFound, id: "1"),
        Row(#"{"jsonrpc":"2.0","id":1,"method":""}"#, .methodNotFound, id: "1"),
        Row(#"{"jsonrpc":"2.0","id":1,"method":"Live"}"#, .methodNotFound, id: "1"),
        Row(#"{"jsonrpc":"2.0","method":"lives"}"#, .methodNotFound, id: nil),
        Row(#"{"jsonrpc":"2.0","id":1,"method":"live","params":[]}"#, .invalidParams, id: "1"),
        Row(#"{"jsonrpc":"2.0","id":1,"method":"live","params":[1]}"#, .invalidParams, id: "1"),
        Row(#"{"jsonrpc":"2.0","id":1,"method":"live","params":null}"#, .invalidParams, id: "1"),
        Row(#"{"jsonrpc":"2.0","id":1,"method":"live","params":"a"}"#, .invalidParams, id: "1"),
        Row(#"{"jsonrpc":"2.0","method":"live","params":[]}"#, .invalidParams, id: nil),
    ]

    @Test(arguments: malformed) func malformedLines(row: Row) {
        let found = outcome(row.line)
        #expect(found.map(\.code) == [row.code])
        #expect(found.map(\.id) == [row.id])
        #expect(found.allSatisfy { $0.message?.hasSuffix(".") ?? false })
    }

    @Test func notUTF8IsAParseError() {
        let line = Array(#"{"jsonrpc":"2.0","id":1,"method":"li"#.utf8) + [0xFF] + Array(#"ve"}"#.utf8)
        #expect(outcome(line).map(\.code) == [.parseError])
    }

    @Test func nestingLimit() {
        func line(_ depth: Int) -> String {
            let value = String(repeating: "[", count: depth - 2) + String(repeating: "]", count: depth - 2)
            return #"{"jsonrpc":"2.0","id":1,"method":"live","params":{"a":\#(value)}}"#
        }
        #expect(outcome(line(32)).map(\.code) == [.invalidParams])
        #expect(outcome(line(33)).map(\.code) == [.parseError])
    }

    @Test(arguments: [
        "0", "-0", "1", "1.0", "1.50", "-12.5e+30", "1E400", "123456789012345678901234567890",
        "0.1000000000000000055511",
        #""""#, #""a""#, #""\u0061""#, #""\/\"\\ \ud83d\udc0e""#, #""žluťoučký 🐎""#, #""\ud800""#, "null",
    ]) func idsAreKeptAsSent(id: String) {
        for line in [
            #"{"jsonrpc":"2.0","id":\#(id),"method":"live"}"#,
            #" {"method":"live" , "id" :  \#(id)  , "jsonrpc":"2.0"}"#,
        ] {
            let found = outcome(line)
            #expect(found.map(\.id) == [id])
            #expect(found.map(\.method) == [.live])
        }
        var buffer = ByteBuffer()
        Array(#"{"jsonrpc":"2.0","id":\#(id),"method":"live"}"#.utf8).withUnsafeBytes { line in
            var parser = RequestParser()
            guard case .single(let incoming) = parser.parse(line), let id = incoming.id else { return }
            Response(id: id, content: .result(["status": "ok"])).writeLine(to: &buffer)
        }
        #expect(buffer.text == #"{"jsonrpc":"2.0","id":\#(id),"result":{"status":"ok"}}"# + "\n")
    }

    @Test func notificationsHaveNoID() {
        let found = outcome(#"{"jsonrpc":"2.0","method":"live"}"#)
        #expect(found.map(\.id) == [nil])
        #expect(found.map(\.method) == [.live])
    }

    @Test func namesMayBeEscaped() {
        let line = #"{"jsonrp\u0063":"2\u002e0","\u0069d":1,"method":"\u006cive","par\u0061ms":{}}"#
        #expect(outcome(line).map(\.method) == [.live])
        let unknown = outcome(#"{"jsonrpc":"2.0","id":1,"method":"live","params":{"\u0061b":1}}"#)
        #expect(unknown.map(\.parameter) == ["ab"])
    }

    @Test func errorsQuoteOnlyTheBeginningOfLongNames() {
        let name = String(repeating: "x", count: 100_000)
        let found = outcome(#"{"jsonrpc":"2.0","id":1,"method":"live","params":{"\#(name)":1}}"#)
        #expect(found.map(\.code) == [.invalidParams])
        #expect(found.allSatisfy { ($0.message ?? name).utf8.count < 300 && ($0.parameter ?? name).utf8.count < 200 })
        let repeated = outcome(#"{"\#(name)":1,"\#(name)":1}"#)
        #expect(repeated.allSatisfy { $0.code == .parseError && ($0.message ?? name).utf8.count < 300 })
    }

    /// What such a run of combining marks means in Unicode takes minutes to find out, and nobody need know.
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            (#""jsonrpc":"X","method":"live""#, ErrorCode.invalidRequest), (#""X":0,"jsonrpc":"2.0""#, .invalidRequest),
            (#""jsonrpc":"2.0","method":"X""#, .methodNotFound),
            (#""jsonrpc":"2.0","method":"live","params":{"X":0}"#, .invalidParams),
        ]
            + [#""pool":"X""#, #""layers":"X""#, #""transform":{"mode":"X"}"#, #""transform":{"steps":["X"]}"#].map {
                (#""jsonrpc":"2.0","method":"embed","params":{"patches":["AA=="],\#($0)}"#, .invalidParams)
            })
    func namesAreComparedByteForByte(members: String, code: ErrorCode) {
        let run = "a" + String(repeating: "\u{301}\u{323}", count: 60_000)
        let parts = members.split(separator: "X")
        #expect(parts.count == 2)
        let found = outcome(#"{"id":1,\#(parts[0])\#(run)\#(parts[1])}"#)
        #expect(found.map(\.code) == [code])
    }

    @Test func membersBeyondTheProtocolAreLeftAlone() {
        #expect(outcome(#"{"jsonrpc":"2.0","id":1,"method":"live","trace":{"x":[1]}}"#).map(\.method) == [.live])
    }

    @Test func methodsWithoutParameters() {
        for method in ["models", "ready", "live", "stats", "model"] {
            let bare = outcome(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)"}"#)
            #expect(bare.map(\.method) == [Request.Method(rawValue: method)])
            let empty = outcome(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{}}"#)
            #expect(empty == bare)
            let typo = outcome(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"typo":1}}"#)
            #expect(typo.map(\.code) == [.invalidParams])
            #expect(typo.map(\.parameter) == ["typo"])
        }
    }

    @Test func batchesKeepTheirOrderAndAnswerEachEntry() {
        let found = outcome(
            #"[{"jsonrpc":"2.0","id":1,"method":"live"},1,{"jsonrpc":"2.0","method":"ready"},[],"#
                + #"{"jsonrpc":"2.0","id":"x"},{"jsonrpc":"2.0","id":2,"method":"nope"}]"#)
        #expect(found.map(\.id) == ["1", "null", nil, "null", "\"x\"", "2"])
        #expect(
            found.map(\.code) == [nil, .invalidRequest, nil, .invalidRequest, .invalidRequest, .methodNotFound])
        #expect(found.map(\.method) == [.live, nil, .ready, nil, nil, nil])
    }

    @Test func batchesHoldUpToAThousand() {
        func batch(_ count: Int) -> String {
            "[\((0..<count).map { #"{"jsonrpc":"2.0","id":\#($0),"method":"live"}"# }.joined(separator: ","))]"
        }
        #expect(outcome(batch(1)).count == 1)
        let full = outcome(batch(1000))
        #expect(full.count == 1000 && full.allSatisfy { $0.method == .live })
        #expect(full.map(\.id) == (0..<1000).map(\.description))
        #expect(outcome(batch(1001)).map(\.code) == [.invalidRequest])
        #expect(outcome("[\(String(repeating: "0,", count: 999))0]").count == 1000)
        #expect(outcome("[\(String(repeating: "0,", count: 1000))0]").map(\.id) == ["null"])
    }
}

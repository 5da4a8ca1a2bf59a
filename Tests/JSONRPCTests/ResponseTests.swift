import JSONRPC
import Testing

@Suite struct ResponseTests {
    private func line(_ response: Response) -> String {
        var buffer = ByteBuffer()
        response.writeLine(to: &buffer)
        return buffer.text
    }

    @Test func goldenReplies() {
        #expect(
            line(Response(id: RequestID(7), content: .result(["status": "ok", "n": 1.5, "list": [1, nil, true]])))
                == #"{"jsonrpc":"2.0","id":7,"result":{"status":"ok","n":1.5,"list":[1,null,true]}}"# + "\n")
        #expect(
            line(Response(id: .null, content: .failure(ResponseError(.parseError, "No \"JSON\".\n"))))
                == #"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"No \"JSON\".\n","data":{}}}"# + "\n")
        #expect(
            line(Response(id: RequestID(1), content: .failure(.invalidParameter("a.b", "`a.b` must be a string."))))
                == #"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"`a.b` must be a string.","#
                + #""data":{"param":"a.b"}}}"# + "\n")
    }

    @Test func controlCharactersNeverReachTheLine() {
        let text = String(String.UnicodeScalarView((0...0x7F).compactMap(Unicode.Scalar.init))) + "é🐎\u{2028}"
        var buffer = ByteBuffer()
        buffer.append(jsonString: text)
        buffer.withUnsafeBytes { bytes in
            #expect(bytes.allSatisfy { $0 >= 0x20 })
            var scanner = JSONScanner()
            #expect((try? scanner.scan(bytes))?.string == text)
        }
    }

    @Test func embeddings() {
        let values: [Float] = [1, -2.5, 0.1, Float(bitPattern: 2)]
        let expected = [
            EmbedRequest.Encoding.base64: #"["AACAPwAAIMA=","zczMPQIAAAA="]"#,
            .float: "[[1.0,-2.5],[0.1,3e-45]]",
        ]
        for (encoding, embeddings) in expected {
            let text = values.withUnsafeBufferPointer { values in
                line(
                    Response(
                        id: RequestID(1),
                        content: .embeddings(
                            EmbeddingResult(
                                model: "small", layers: ["conv1", "conv3"], dimension: 2, encoding: encoding,
                                values: values, transform: { $0.append(json: ["seed": 7]) }))))
            }
            #expect(
                text == #"{"jsonrpc":"2.0","id":1,"result":{"model":"small","layers":["conv1","conv3"],"dim":2,"#
                    + #""encoding":"\#(encoding.rawValue)","embeddings":\#(embeddings),"transform":{"seed":7}}}"# + "\n"
            )
            #expect(embeddings.utf8.count <= 2 * EmbeddingResult.rowByteCount(dimension: 2, encoding: encoding) + 2)
        }
    }

    @Test func floatsReadBackToTheSameBits() throws {
        var random = SeededGenerator(seed: 3)
        var special: [Float] = [0, -0.0, 1, -1, 0.1, 16_777_216, 16_777_218, .leastNonzeroMagnitude, .pi]
        special += [.leastNormalMagnitude, -.leastNormalMagnitude, .greatestFiniteMagnitude, 1e16, 1e-5, 123456.79]
        let patterns = (0..<20_000).map { _ in Float(bitPattern: UInt32.random(in: 0 ... .max, using: &random)) }
        var scanner = JSONScanner()
        for value in special + patterns {
            var buffer = ByteBuffer()
            buffer.append(jsonNumber: value)
            guard value.isFinite else {
                #expect(buffer.text == "null")
                continue
            }
            #expect(buffer.count <= 15)
            let number = buffer.withUnsafeBytes { try? scanner.scan($0).double }
            #expect(number.map { Float($0).bitPattern } == value.bitPattern, "\(value), seed 3")
        }
    }

    @Test func batchRepliesComeAsOneLine() throws {
        var batch = BatchReply(expecting: 3)
        let ok = Response.Content.result(["status": "ok"])
        func reply(_ id: RequestID, _ content: Response.Content) -> ByteBuffer {
            var buffer = ByteBuffer()
            Response(id: id, content: content).write(to: &buffer)
            return buffer
        }
        #expect(batch.add(reply(RequestID(2), ok)) == nil)
        #expect(batch.add(reply(.null, .failure(ResponseError(.invalidRequest, "No.")))) == nil)
        let last = batch.add(reply(RequestID(1), ok))
        let line = try #require(last)
        #expect(
            String(decoding: line.bytes, as: UTF8.self) == #"[{"jsonrpc":"2.0","id":2,"result":{"status":"ok"}},"#
                + #"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"No.","data":{}}},"#
                + #"{"jsonrpc":"2.0","id":1,"result":{"status":"ok"}}]"# + "\n")
        #expect(batch.add(reply(RequestID(4), ok)) == nil)
    }

    @Test func everyErrorCodeHasItsNumber() {
        #expect(ErrorCode.allCases.count == 15)
        #expect(Set(ErrorCode.allCases.map(\.name)).count == 15)
        #expect(ErrorCode.allCases.map(\.rawValue).prefix(5) == [-32700, -32600, -32601, -32602, -32603])
        #expect(ErrorCode.allCases.map(\.rawValue).dropFirst(5) == (-32009 ... -32000).reversed()[...])
    }
}

extension ByteQueue {
    /// What waits, taken from a copy piece by piece.
    fileprivate var bytes: [UInt8] {
        var (queue, bytes) = (self, [UInt8]())
        while !queue.isEmpty {
            let part = queue.withFirstBytes { Array($0) }
            bytes += part
            queue.consume(part.count)
        }
        return bytes
    }
}

@Suite struct ByteQueueTests {
    /// Random pieces, short and long, and whole queues, against an array.
    @Test func agreesWithAnArray() {
        var random = SeededGenerator(seed: 9)
        var queue = ByteQueue()
        var model: [UInt8] = []
        func piece() -> [UInt8] {
            let most = [0, 1, 300, 16 << 10, 100_000].randomElement(using: &random) ?? 0
            return (0..<Int.random(in: 0...most, using: &random)).map { UInt8(truncatingIfNeeded: $0) }
        }
        func buffer(_ bytes: [UInt8]) -> ByteBuffer {
            var buffer = ByteBuffer()
            bytes.withUnsafeBytes { buffer.append(contentsOf: $0) }
            return buffer
        }
        for step in 0..<3000 {
            switch Int.random(in: 0..<8, using: &random) {
            case 0...2:
                let bytes = piece()
                queue.append(buffer(bytes))
                model += bytes
            case 3:
                queue.append(",")
                model.append(UInt8(ascii: ","))
            case 4:
                var other = ByteQueue()
                for bytes in [piece(), piece()] {
                    other.append(buffer(bytes))
                    model += bytes
                }
                queue.append(other)
            case 5, 6:
                let count = Int.random(in: 0...150_000, using: &random)
                queue.consume(count)
                model.removeFirst(min(count, model.count))
            default:
                queue.trim(keepingCapacityUpTo: 512)
                if step % 50 == 0 {
                    queue.removeAll(keepingCapacityUpTo: 1024)
                    model = []
                    #expect(queue.capacity <= 1024)
                }
            }
            #expect(queue.count == model.count && queue.isEmpty == model.isEmpty && queue.capacity >= queue.count)
            if step % 100 == 0 { #expect(queue.bytes == model, "seed 9, step \(step)") }
            let first = queue.withFirstBytes { Array($0.prefix(100)) }
            #expect(first.elementsEqual(model.prefix(first.count)) && first.isEmpty == model.isEmpty, "seed 9")
        }
        queue.consume(.max)
        #expect(queue.isEmpty)
        queue.removeAll(keepingCapacityUpTo: 0)
        #expect(queue.capacity == 0)
    }
}

@Suite struct ByteBufferTests {
    @Test func storageIsTrimmedToWhatIsLeft() {
        var buffer = ByteBuffer(capacity: 1000)
        for index in 0..<1000 { buffer.append(UInt8(ascii: index < 998 ? "x" : "y")) }
        buffer.consume(750)
        buffer.trim(keepingCapacityUpTo: 0)
        #expect(buffer.capacity == 1000, "a quarter of it is used")
        buffer.consume(1)
        buffer.trim(keepingCapacityUpTo: 1000)
        #expect(buffer.capacity == 1000, "it is no larger than may be kept")
        buffer.trim(keepingCapacityUpTo: 999)
        #expect(buffer.capacity == 249)
        #expect(buffer.text == String(repeating: "x", count: 247) + "yy")
        buffer.consume(249)
        buffer.trim(keepingCapacityUpTo: 0)
        #expect(buffer.capacity == 0 && buffer.isEmpty)
    }

    /// Random appends, consumes and moves against an array.
    @Test func agreesWithAnArray() {
        var random = SeededGenerator(seed: 4)
        var buffer = ByteBuffer()
        var model: [UInt8] = []
        for _ in 0..<5000 {
            if Bool.random(using: &random) {
                let bytes = (0..<Int.random(in: 0...300, using: &random)).map { UInt8(truncatingIfNeeded: $0) }
                bytes.withUnsafeBytes { buffer.append(contentsOf: $0) }
                model += bytes
            } else {
                let count = Int.random(in: 0...400, using: &random)
                buffer.consume(count)
                model.removeFirst(min(count, model.count))
                if Bool.random(using: &random) {
                    buffer.trim(keepingCapacityUpTo: 512)
                    #expect(buffer.capacity <= max(512, 4 * buffer.count), "seed 4")
                }
            }
            #expect(buffer.count == model.count)
            #expect(buffer.withUnsafeBytes { $0.elementsEqual(model) }, "seed 4")
        }
    }

    @Test func copiesAreIndependent() {
        var first = ByteBuffer()
        first.append("abc")
        var second = first
        second.append("def")
        first.append("x")
        #expect(first.text == "abcx" && second.text == "abcdef")
        first.append(contentsOf: second)
        second.consume(3)
        #expect(first.text == "abcxabcdef" && second.text == "def")
    }
}

import Glibc
import Platform
import Testing

/// One file, one token, whoever reads it.
@Suite struct TokenFileTests {
    private static func token(_ bytes: [UInt8]) throws -> String {
        var template = Array("/tmp/exemplar-token-XXXXXX".utf8CString)
        let file = mkstemp(&template)
        let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        defer { unlink(path) }
        #expect(write(file, bytes, bytes.count) == bytes.count)
        close(file)
        return try accessToken(inFile: path)
    }

    @Test(arguments: [
        "correct horse", "correct horse\n", "correct horse\r\n", " \t correct horse \t\r\n",
        "correct horse\nof March\n",
        "correct horse \n\n# staging\n",
    ])
    func theFirstLineWithoutItsEnds(_ text: String) throws {
        #expect(try Self.token(Array(text.utf8)) == "correct horse")
    }

    @Test func aTokenIsTakenWholeOrNotAtAll() throws {
        let long = [UInt8](repeating: UInt8(ascii: "a"), count: 4096)
        #expect(try Self.token(long).utf8.count == 4096)
        #expect(try Self.token(long + Array("\nmore".utf8)).utf8.count == 4096)
        let error = #expect(throws: TokenFileError.self) { try Self.token(long + [UInt8(ascii: "a"), 10]) }
        #expect(error?.description.contains("does not end within 4096 bytes") == true, "\(String(describing: error))")
    }

    @Test(arguments: [
        ([], "is empty"), (Array("\ncorrect horse\n".utf8), "is empty"), (Array(" \t\r\n".utf8), "is empty"),
        ([UInt8](repeating: 0xFF, count: 9), "not UTF-8"),
    ])
    func aFirstLineThatIsNoToken(_ bytes: [UInt8], _ reason: String) {
        let error = #expect(throws: TokenFileError.self) { try Self.token(bytes) }
        #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
    }

    @Test(arguments: ["/nonexistent/token", "/tmp"]) func whatCannotBeRead(_ path: String) {
        let error = #expect(throws: TokenFileError.self) { try accessToken(inFile: path) }
        #expect(
            error?.description.contains("\(path): the token cannot be read") == true, "\(String(describing: error))")
    }
}

import Glibc

/// The token in a file: its first line, without the white space at its ends. Server and clients read it by this one
/// rule, or the same file would be two tokens.
///
/// - Throws: `TokenFileError` where the file cannot be read, or its first line is no token.
public func accessToken(inFile path: String) throws(TokenFileError) -> String {
    let limit = 4096
    guard let bytes = fileBytes(path, limit: limit + 1) else {
        throw TokenFileError("\(path): the token cannot be read: \(errorText()).")
    }
    let line = bytes.prefix { $0 != UInt8(ascii: "\n") }
    guard line.count <= limit else {
        throw TokenFileError(
            "\(path): its first line, the token, does not end within \(limit) bytes; give a shorter one.")
    }
    // Tab to carriage return, and the space.
    func isWhiteSpace(_ byte: UInt8) -> Bool { 9...13 ~= byte || byte == UInt8(ascii: " ") }
    var trimmed = line.drop(while: isWhiteSpace)
    while let last = trimmed.last, isWhiteSpace(last) { trimmed.removeLast() }
    guard let token = String(validating: trimmed, as: UTF8.self) else {
        throw TokenFileError("\(path): its first line, the token, is not UTF-8 text.")
    }
    guard !token.isEmpty else { throw TokenFileError("\(path): its first line, the token, is empty.") }
    return token
}

/// Why a file has no token: a sentence that names the file.
public struct TokenFileError: Error, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

import Glibc
import JSONRPC
import Platform

/// Writes a line to standard error. Where that fails there is nobody left to tell.
func writeError(_ line: String, terminator: String = "\n") {
    var line = line + terminator
    line.withUTF8 { _ = writeAll(UnsafeRawBufferPointer($0), to: STDERR_FILENO) }
}

/// Writes text to standard output.
func writeOutput(_ text: String) throws(CommandError) {
    var text = text
    let failure: Int32 = text.withUTF8 { writeAll(UnsafeRawBufferPointer($0), to: STDOUT_FILENO) }
    guard failure == 0 else { throw .failure("Standard output cannot be written: \(errorText(failure)).") }
}

/// Writes all of `bytes` to `path`, or to standard output where it is nil.
func writeOutput(_ bytes: UnsafeRawBufferPointer, to path: String?) throws(CommandError) {
    var descriptor = STDOUT_FILENO
    if let path {
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .failure("\(path) cannot be written: \(errorText(errno)).") }
    }
    var failure = writeAll(bytes, to: descriptor)
    // A full disk may be reported only now.
    if path != nil, close(descriptor) != 0, failure == 0 { failure = errno }
    guard failure == 0 else {
        throw .failure("\(path ?? "Standard output") cannot be written: \(errorText(failure)).")
    }
}

/// Says early that `path` cannot be written, where that is sure already: what is computed for it may take minutes.
func checkOutput(_ path: String?) throws(CommandError) {
    guard let path else { return }
    guard !path.isEmpty else { throw .usage("the output file's name is empty") }
    var status = stat()
    var failure: Int32 = 0
    if stat(path, &status) == 0 {
        failure = status.st_mode & S_IFMT == S_IFDIR ? EISDIR : access(path, W_OK) == 0 ? 0 : errno
    } else {
        let end = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let folder = end.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        failure = access(folder, W_OK | X_OK) == 0 ? 0 : errno
    }
    guard failure == 0 else { throw .failure("\(path) cannot be written: \(errorText(failure)).") }
}

/// Writes all of an array, as `writeOutput` of a buffer does.
func writeOutput(_ bytes: [UInt8], to path: String?) throws(CommandError) {
    let result = bytes.withUnsafeBytes { bytes in
        Result { () throws(CommandError) in try writeOutput(bytes, to: path) }
    }
    try result.get()
}

/// Writes one line of JSON to standard output.
func writeOutput(_ json: JSONValue) throws(CommandError) {
    var text = ByteBuffer()
    text.append(json: json)
    text.append(UInt8(ascii: "\n"))
    try text.withUnsafeBytes { bytes throws(CommandError) in try writeOutput(bytes, to: nil) }
}

/// Writes until everything is written; returns 0 or the system's error number.
private func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count >= 0 {
            rest = rest.dropFirst(count)
        } else if errno != EINTR {
            return errno
        }
    }
    return 0
}

/// Whether standard output is a terminal.
var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

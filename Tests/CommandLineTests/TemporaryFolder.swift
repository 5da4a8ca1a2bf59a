import Glibc
import Platform

@testable import exemplar

/// The bytes of a file of at most 1 MiB.
func contents(_ path: String) throws -> [UInt8] {
    guard let bytes = fileBytes(path, limit: 1 << 20) else {
        throw CommandError.failure("\(path): \(errorText())")
    }
    return bytes
}

/// A folder that goes, with what is in it, when the last reference does.
final class TemporaryFolder {
    let path: String
    private var names: [String] = ["rows.npy"]

    init() throws {
        var template = Array("/tmp/exemplar-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw CommandError.failure(errorText()) }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        names.append(name)
        try bytes.withUnsafeBytes { try writeOutput($0, to: path + "/" + name) }
    }

    /// The path of a file that a test lets a command write.
    func file(_ name: String) -> String {
        names.append(name)
        return path + "/" + name
    }

    deinit {
        for name in names { unlink(path + "/" + name) }
        rmdir(path)
    }
}

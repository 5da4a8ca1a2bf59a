import Glibc

@testable import exemplar

/// The bytes of a file of at most 1 MiB.
func contents(_ path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw CommandError.failure("\(path): \(systemMessage(errno))") }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = read(descriptor, &bytes, bytes.count)
    return Array(bytes.prefix(max(count, 0)))
}

/// A folder that goes, with what is in it, when the last reference does.
final class TemporaryFolder {
    let path: String
    private var names: [String] = ["rows.npy"]

    init() throws {
        var template = Array("/tmp/exemplar-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw CommandError.failure(systemMessage(errno)) }
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

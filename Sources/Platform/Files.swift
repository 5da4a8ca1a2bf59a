public import Glibc

/// At most the first `limit` bytes of a file, or of whatever else can be read by that name; nil, with `errno` set,
/// where it cannot be read.
public func fileBytes(_ path: String, limit: Int) -> [UInt8]? {
    var failure: Int32 = 0
    let bytes = read(path, limit, &failure)
    // Set last: giving memory back may be a system call that fails, too.
    if bytes == nil { errno = failure }
    return bytes
}

private func read(_ path: String, _ limit: Int, _ failure: inout Int32) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else {
        failure = errno
        return nil
    }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    // The kernel hands long ones out in parts.
    while bytes.count < limit {
        let count = Glibc.read(file, &chunk, min(chunk.count, limit - bytes.count))
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else {
            failure = errno
            return nil
        }
        guard count > 0 else { break }
        bytes += chunk[..<count]
    }
    return bytes
}

/// A small file, such as the kernel's in /proc and /sys: at most its first `limit` bytes; nil, with `errno` set, where
/// it cannot be read.
public func kernelFile(_ path: String, limit: Int = 1 << 14) -> String? {
    fileBytes(path, limit: limit).map { String(decoding: $0, as: UTF8.self) }
}

/// What an error number means, in the system's words.
public func errorText(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

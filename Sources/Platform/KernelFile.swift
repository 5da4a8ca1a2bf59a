import Glibc

/// A small file, such as the kernel's in /proc and /sys: at most its first `limit` bytes; nil, with `errno` set, where
/// it cannot be read.
public func kernelFile(_ path: String, limit: Int = 1 << 14) -> String? {
    fileBytes(path, limit: limit).map { String(decoding: $0, as: UTF8.self) }
}

/// At most the first `limit` bytes of a file; nil, with `errno` set, where it cannot be read.
func fileBytes(_ path: String, limit: Int) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var failure: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
        // The kernel hands long ones out in parts.
        while count < limit {
            let part = read(file, buffer.baseAddress.map { $0 + count }, limit - count)
            if part < 0, errno == EINTR { continue }
            if part < 0 { failure = errno }
            guard part > 0 else { break }
            count += part
        }
    }
    guard failure == 0 else {
        errno = failure
        return nil
    }
    return bytes
}

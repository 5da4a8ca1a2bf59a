import Glibc

/// A small file, such as the kernel's in /proc and /sys: at most its first `limit` bytes; nil, with `errno` set, where
/// it cannot be opened.
public func kernelFile(_ path: String, limit: Int = 1 << 14) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
        // The kernel hands long ones out in parts.
        while count < limit {
            let part = read(file, buffer.baseAddress.map { $0 + count }, limit - count)
            if part < 0, errno == EINTR { continue }
            guard part > 0 else { break }
            count += part
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

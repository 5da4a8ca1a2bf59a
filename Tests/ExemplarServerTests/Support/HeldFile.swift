import Glibc
import TestSupport
import Testing

/// A file that nobody else gets to open until it is released, which takes the place of another one at once.
final class HeldFile {
    // Linux's own, which the C library declares to those who ask for more than POSIX.
    private static let (setSignal, setLease, getLease): (Int32, Int32, Int32) = (10, 1024, 1025)

    private let descriptor: Int32

    /// - Parameter path: what it stands in for; this must be the name of a file that is there.
    init(_ path: String, contents: String = "{}") throws {
        let written = path + ".held"
        descriptor = open(written, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0 && write(descriptor, contents, contents.utf8.count) == contents.utf8.count)
        // Whoever opens it waits for as long as the kernel lets a lease last (/proc/sys/fs/lease-break-time). Its
        // holder is told by SIGIO, which would end the process, or by what signals of nothing else here.
        try #require(fcntl(descriptor, Self.setSignal, SIGURG) == 0)
        // A child that is about to run another program may still have a copy of a descriptor.
        try waitUntil("no lease of \(written): \(errno)") { fcntl(descriptor, Self.setLease, F_WRLCK) == 0 }
        try #require(rename(written, path) == 0)
    }

    deinit { close(descriptor) }

    /// Waits until somebody waits for it.
    func waitUntilAwaited() throws {
        // What the lease is about to become for a reader.
        try waitUntil("nobody opens the file") { fcntl(descriptor, Self.getLease) == F_RDLCK }
    }

    func release() throws { try #require(fcntl(descriptor, Self.setLease, F_UNLCK) == 0) }
}

import CPlatform
import Glibc
import Platform

/// Something that listens and answers one connection's requests, which have the ids 1, 2, …, as it was told to.
final class ScriptedServer {
    let port: Int
    private var thread: JoinableThread?

    struct NotListening: Error {}

    /// - Parameters:
    ///   - results: of the requests, in their order; more are not answered.
    ///   - stall: how long the first request waits for its answer, and all behind it.
    init(results: [String], stall: Duration = .zero) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutableBytes(of: &address) { bytes -> Int32 in
            guard let name = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return -1 }
            return bind(listener, name, size) == 0 && listen(listener, 1) == 0 ? getsockname(listener, name, &size) : -1
        }
        guard status == 0 else { throw NotListening() }
        port = Int(UInt16(bigEndian: address.sin_port))
        thread = JoinableThread {
            let connection = Glibc.accept(listener, nil, nil)
            close(listener)
            var (lines, answered) = (0, 0)
            var chunk = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = read(connection, &chunk, chunk.count)
                guard count > 0 else { break }
                lines += chunk[..<count].count { $0 == UInt8(ascii: "\n") }
                while answered < min(lines, results.count) {
                    if answered == 0 { usleep(UInt32(stall / .microseconds(1))) }
                    let reply = #"{"jsonrpc":"2.0","id":\#(answered + 1),"result":\#(results[answered])}"# + "\n"
                    _ = send(connection, reply, reply.utf8.count, Int32(MSG_NOSIGNAL))
                    answered += 1
                }
            }
            close(connection)
        }
    }

    /// Waits for the client to go.
    deinit { thread?.join() }
}

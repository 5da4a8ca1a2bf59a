import Platform

/// Writes lines to a socket on a thread of its own while the test reads the replies.
///
/// Unchecked: the thread uses the socket's descriptor alone, and only sends.
final class LineWriter: @unchecked Sendable {
    private let socket: LineSocket
    private let lines: [String]
    private var thread: JoinableThread?

    init(_ socket: LineSocket, _ lines: [String]) {
        self.socket = socket
        self.lines = lines
        thread = JoinableThread { self.run() }
    }

    private func run() {
        var bytes: [UInt8] = []
        for line in lines {
            bytes += line.utf8
            bytes.append(0x0A)
        }
        socket.trySend(bytes)
    }

    func join() { thread?.join() }
}

import Glibc

/// Writes lines to a socket on a thread of its own while the test reads the replies.
///
/// Unchecked: the thread uses the socket's descriptor alone, and only sends.
final class LineWriter: @unchecked Sendable {
    private let socket: LineSocket
    private let lines: [String]
    private var thread = pthread_t()

    init(_ socket: LineSocket, _ lines: [String]) {
        self.socket = socket
        self.lines = lines
        let context = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<LineWriter>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, context.toOpaque())
        if status != 0 { context.release() }
    }

    private func run() {
        var bytes: [UInt8] = []
        for line in lines {
            bytes += line.utf8
            bytes.append(0x0A)
        }
        socket.trySend(bytes)
    }

    func join() { pthread_join(thread, nil) }
}

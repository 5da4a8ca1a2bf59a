import CPlatform
import Glibc
import JSONRPC

/// A plain blocking socket: what any client has, and no more. Closed with the last reference.
final class LineSocket {
    let descriptor: Int32
    /// Who is at the other end; it lives as long as this does.
    private let server: ServerProcess?
    private var received: [UInt8] = []
    private var consumed = 0
    private var resets = false

    /// Connects to a port of 127.0.0.1. A small `receiveBuffer` makes the server wait early.
    init(port: UInt16, of server: ServerProcess? = nil, receiveBuffer: Int32? = nil) throws {
        self.server = server
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if var receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafeBytes(of: &address) { bytes in
            Glibc.connect(
                descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard status == 0 else { throw TestFailure("cannot connect to port \(port): \(errno)") }
        setTimeout()
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    }

    init(unixPath: String) throws {
        server = nil
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard exemplar_connect_unix(descriptor, unixPath) == 0 else {
            throw TestFailure("cannot connect to \(unixPath): \(errno)")
        }
        setTimeout()
    }

    /// The server hears of it at once, although a child that another test has forked, and that has not begun its
    /// program, may hold the descriptor for a while.
    deinit {
        if resets {
            // A connection without an address is reset (connect(2)).
            var nowhere = sockaddr()
            nowhere.sa_family = sa_family_t(AF_UNSPEC)
            Glibc.connect(descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
        } else {
            shutdown(descriptor, Int32(SHUT_RDWR))
        }
        close(descriptor)
    }

    /// How long sending and receiving may rest before they count as hanging.
    func setTimeout(seconds: Int = Patience.seconds) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    // MARK: Sending

    func send(_ bytes: some Collection<UInt8>) throws {
        guard trySend(bytes) == bytes.count else { throw TestFailure("cannot send: \(errno)") }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(line: String) throws { try send(line + "\n") }

    /// Sends until all is sent or the connection breaks, or, without `isPatient`, until the server takes no more now.
    @discardableResult
    func trySend(_ bytes: some Collection<UInt8>, isPatient: Bool = true) -> Int {
        let flags = Int32(MSG_NOSIGNAL) | (isPatient ? 0 : Int32(MSG_DONTWAIT))
        return Array(bytes).withUnsafeBytes { bytes in
            var sent = 0
            while sent < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
                let count = Glibc.send(descriptor, rest.baseAddress, rest.count, flags)
                guard count > 0 else { break }
                sent += count
            }
            return sent
        }
    }

    /// Closes the sending side: nothing more comes, replies are welcome.
    func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Makes closing this socket, which is one of TCP, reset the connection.
    func resetOnClose() { resets = true }

    // MARK: Receiving

    /// The next line without its LF; nil when the server has closed the connection.
    func readLine() throws -> String? {
        var searched = consumed
        while true {
            if let end = received[searched...].firstIndex(of: 0x0A) {
                defer { consumed = end + 1 }
                return String(decoding: received[consumed..<end], as: UTF8.self)
            }
            received.removeFirst(consumed)
            consumed = 0
            searched = received.count
            guard try receive() else {
                guard received.isEmpty else { throw TestFailure("half a line, then the end") }
                return nil
            }
        }
    }

    /// Takes what is left of a line of megabytes, behind which nothing has been sent, and keeps nothing of it: how many
    /// bytes that was.
    func skipLine() throws -> Int {
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        var taken = 0
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { throw TestFailure("cut off after another \(taken) bytes: \(errno)") }
            taken += count
            if chunk[count - 1] == UInt8(ascii: "\n") { return taken }
        }
    }

    private func receive() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count > 0 {
            received += chunk.prefix(count)
            return true
        }
        if count == 0 || errno == ECONNRESET { return false }
        throw TestFailure(errno == EAGAIN ? "the server is silent" : "recv: \(errno)")
    }

    /// The next reply.
    func reply() throws -> TestReply {
        guard let line = try readLine() else { throw TestFailure("the connection is closed") }
        return try TestReply(line)
    }

    /// Sends `line` and reads one reply.
    func ask(_ line: String) throws -> TestReply {
        try send(line: line)
        return try reply()
    }

    /// Proves that everything sent before was answered with nothing else: a `live` of this id is the next reply.
    func isQuiet() throws -> Bool {
        let line = try ask(#"{"jsonrpc":"2.0","id":"fence","method":"live"}"#).line
        return line == #"{"jsonrpc":"2.0","id":"fence","result":{"status":"ok"}}"#
    }

    /// How many connections the server has closed for want of this patience.
    func timedOut(_ timeout: String) throws -> JSONValue? {
        try ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result?["connections"]?["timed_out"]?[timeout]
    }

    /// Whether the server closes the connection, sooner or later, after whatever it has still to say.
    func isClosedByServer() throws -> Bool {
        while try readLine() != nil {}
        return true
    }
}

/// One line of the server's, read.
struct TestReply {
    let line: String
    let value: JSONValue

    init(_ line: String) throws {
        self.line = line
        var scanner = JSONScanner()
        value = try Array(line.utf8).withUnsafeBytes { try scanner.scan($0).value }
    }

    var code: Int? { int(value["error"]?["code"]) }
    var result: JSONValue? { value["result"] }
    var message: String { string(value["error"]?["message"]) ?? "" }
    var data: JSONValue? { value["error"]?["data"] }
    var parameter: String? { string(data?["param"]) }
    var id: JSONValue? { value["id"] }

    /// The vectors of an `embed` reply as they were written: base64, or the text of the numbers.
    var embeddings: [JSONValue] {
        guard case .array(let rows)? = result?["embeddings"] else { return [] }
        return rows
    }
}

func int(_ value: JSONValue?) -> Int? {
    guard case .int(let number)? = value else { return nil }
    return number
}

func string(_ value: JSONValue?) -> String? {
    guard case .string(let text)? = value else { return nil }
    return text
}

extension LineSocket {
    /// Whether the server ends the connection although its client has taken hardly anything: reads what the kernels
    /// hold between the two, and waits for the end.
    func isCutOff() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count == 0 || count < 0 && errno == ECONNRESET { return true }
            guard count > 0 else { throw TestFailure("the connection stays open: \(errno)") }
        }
    }
}

/// What `stats` says of the server's memory, in bytes.
struct TestMemory: Equatable {
    var limit = 0
    var models = 0
    var requests = 0
    var replies = 0
    var lines = 0
    var images = 0

    var total: Int { models + requests + replies + lines + images }
}

extension LineSocket {
    func memory() throws -> TestMemory {
        let stats = try ask(#"{"jsonrpc":"2.0","id":"memory","method":"stats"}"#).result?["memory"]
        func figure(_ name: String) throws -> Int {
            guard let value = int(stats?[name]) else { throw TestFailure("stats has no memory.\(name)") }
            return value
        }
        return TestMemory(
            limit: try figure("limit"), models: try figure("models"), requests: try figure("requests"),
            replies: try figure("replies"), lines: try figure("lines"), images: try figure("images"))
    }

    /// Asks until the server's memory is as `isSettled` wants it: whoever has just answered may still hold a request.
    func waitForMemory(_ isSettled: (TestMemory) throws -> Bool) throws {
        try waitUntil("the memory stays") { try isSettled(memory()) }
    }
}

import CPlatform
import Glibc
import JSONRPC
import TestSupport
import Testing

/// Who may connect: tokens, addresses, Unix domain sockets.
@Suite(.waiting) struct AccessTests {
    let oracle = Oracle.tiny()
    let model: TemporaryModel

    init() throws { model = try TemporaryModel(oracle) }

    static func auth(_ token: String) -> String {
        #"{"jsonrpc":"2.0","id":1,"method":"auth","params":{"token":"\#(token)"}}"#
    }

    static func call(_ method: String) -> String { #"{"jsonrpc":"2.0","id":1,"method":"\#(method)"}"# }

    @Test func aToken() throws {
        let token = try TemporaryFile("correct horse\r\nsecond line\n")
        let server = try ServerProcess(model: model.path, ["--token-file", token.path])
        let client = try server.connect()
        #expect(try client.isQuiet())
        #expect(try client.ask(Self.call("ready")).result?["status"] == "ok")
        func areRefused() throws {
            for line in [oracle.embedLine(), Self.call("model"), Self.call("models"), Self.call("stats")] {
                #expect(try client.ask(line).code == -32002, "\(line)")
            }
        }
        try areRefused()
        for wrong in ["", "c", "correct horsf", "correct horse ", "correct horse\\nsecond line", "second line"] {
            // Each on a connection of its own: after three wrong ones it is closed.
            #expect(try server.connect().ask(Self.auth(wrong)).code == -32002, "\(wrong)")
        }
        #expect(try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"auth"}"#).code == -32602)
        try areRefused()
        #expect(try client.ask(Self.auth("correct horse")).result?["status"] == "ok")
        #expect(try client.ask(oracle.embedLine()).code == nil)
        // For this connection alone.
        #expect(try server.connect().ask(oracle.embedLine()).code == -32002)
    }

    /// The commands find the same token in the file.
    @Test(arguments: ["correct horse \t\r\n# staging\n", " correct horse"]) func aTokenFileForBoth(_ text: String)
        throws
    {
        let token = try TemporaryFile(text)
        let server = try ServerProcess(model: model.path, ["--token-file", token.path])
        #expect(try server.connect().ask(Self.auth("correct horse")).result?["status"] == "ok")
        let command = try ServerProcess(
            launching: ["model", "--port", "\(server.port)", "--token-file", token.path])
        #expect(try command.waitForExit() == 0, "\(command.log)")
    }

    /// Who has shown no token cannot make the server read much: a line is short, whatever it asks for, and so is what a
    /// batch in it can ask for. Who has may send the next line at once.
    @Test func linesBeforeTheTokenAreShort() throws {
        let token = try TemporaryFile("correct horse\n")
        let server = try ServerProcess(model: model.path, ["--token-file", token.path])
        let client = try server.connect()
        // The token's 13 bytes, each of which may be escaped as six.
        let limit = 32 * 1024 + 6 * 13
        func padded(_ line: String, to count: Int) -> String {
            line + String(repeating: " ", count: count - line.utf8.count)
        }
        let refused = try client.ask(padded(Self.call("stats"), to: limit + 1))
        #expect(refused.code == -32002 && refused.id == .null, "\(refused.line)")
        #expect(refused.message.contains("auth") && refused.message.contains("longer than \(limit) bytes"))
        #expect(try client.ask(padded(Self.call("stats"), to: limit)).code == -32002)
        // Patches whose base64 is wrong, and images that are none: refused before anybody looks at them.
        for inputs in [#""patches":["!"]"#, #""images":["AAAA"]"#] {
            let line = #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{\#(inputs)}}"#
            #expect(try client.ask(line).code == -32002)
        }
        let few = try client.ask(oracle.embedLine([0, 1]))
        #expect(few.code == -32002 && few.id != .null, "\(few.line)")
        let large = oracle.embedLine(Array(repeating: 0, count: 128))
        #expect(large.utf8.count > limit)
        #expect(try client.ask(large).code == -32002)
        let escaped = "correct horse".utf8.map { "\\u00" + String($0, radix: 16) }.joined()
        try client.send(padded(Self.auth(escaped), to: limit) + "\n" + large + "\n")
        #expect(try client.reply().result?["status"] == "ok")
        #expect(try client.reply().embeddings.count == 128)
        // The limit is each connection's own.
        #expect(try server.connect().ask(large).code == -32002)
    }

    /// Whoever does not show the token in time is told so and loses the connection; who has shown it may rest.
    @Test func theTokenMustComeInTime() throws {
        let token = try TemporaryFile("correct horse\n")
        let server = try ServerProcess(model: model.path, ["--token-file", token.path, "--auth-timeout", "1"])
        var count = 0
        // Again where this test was kept from its core for so long.
        func connect(asking line: String) throws -> LineSocket {
            for _ in 0..<20 {
                count += 1
                let client = try server.connect()
                if (try? client.ask(line).result?["status"]) == "ok" { return client }
            }
            throw TestFailure("this machine is never in time")
        }
        let client = try connect(asking: Self.auth("correct horse"))
        // What anybody may ask does not buy time.
        let stranger = try connect(asking: Self.call("live"))
        let reply = try stranger.reply()
        #expect(reply.code == -32002 && reply.id == .null)
        #expect(try stranger.readLine() == nil)
        #expect(try client.ask(oracle.embedLine()).code == nil)
        let timedOut = try #require(int(try client.timedOut("auth")))
        #expect((1..<count).contains(timedOut), "\(timedOut) of \(count)")
    }

    /// Connections without the token cannot use up the places of those that have it.
    @Test(arguments: [1, 3]) func strangersMakeWay(loops: Int) throws {
        let token = try TemporaryFile("correct horse\n")
        let server = try ServerProcess(
            model: model.path,
            [
                "--token-file", token.path, "--auth-timeout", "0", "--max-connections", "3", "--event-loops",
                "\(loops)",
            ])
        func friend() throws -> LineSocket {
            let client = try server.connect()
            #expect(try client.ask(Self.auth("correct horse")).result?["status"] == "ok")
            return client
        }
        var friends = [try friend()]
        let strangers = try (0..<2).map { _ in try server.connect() }
        for stranger in strangers { #expect(try stranger.isQuiet()) }
        for stranger in strangers {
            friends.append(try friend())
            // The one who came first, and nobody else.
            let reply = try stranger.reply()
            #expect(reply.code == -32009 && reply.id == .null && reply.message.contains("auth"), "\(reply.line)")
            #expect(try stranger.readLine() == nil)
            if stranger !== strangers.last { #expect(try strangers.last?.isQuiet() == true) }
        }
        #expect(try server.connect().reply().code == -32009)
        for client in friends { #expect(try client.ask(oracle.embedLine()).code == nil) }
        let connections = try friends[0].ask(Self.call("stats")).result?["connections"]
        #expect(connections?["open"] == 3 && connections?["refused"] == 3)
    }

    @Test func aTokenFileThatIsNone() throws {
        let empty = try TemporaryFile("\n")
        for (path, text) in [("/nonexistent/token", "cannot be read"), (empty.path, "is empty")] {
            let server = try ServerProcess(launching: ["serve", "--port", "0", "--token-file", path])
            #expect(try server.waitForExit() == 1)
            #expect(server.log.contains(text), "\(server.log)")
        }
    }

    /// Nobody may ever write into a pipe that is to have the token: signals end the server all the same.
    @Test func aTokenThatNeverComes() throws {
        let folder = try temporaryFolder()
        let pipe = folder + "/token"
        defer {
            unlink(pipe)
            rmdir(folder)
        }
        #expect(mkfifo(pipe, 0o600) == 0)
        let server = try ServerProcess(launching: ["serve", "--port", "0", "--token-file", pipe])
        // The other end can be opened once it waits for this one.
        var writer: Int32 = -1
        try waitUntil("nobody reads the pipe: \(errno)") {
            writer = open(pipe, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
            return writer >= 0
        }
        defer { close(writer) }
        server.send(SIGTERM)
        #expect(try server.waitForExit() == 128 + SIGTERM)
    }

    /// A token that can be guessed is taken, and the log says so.
    @Test func aShortToken() throws {
        let token = try TemporaryFile("secret\n")
        let server = try ServerProcess(model: model.path, ["--token-file", token.path])
        #expect(server.log.contains("is short, 6 of"), "\(server.log)")
        #expect(try server.connect().ask(Self.auth("secret")).result?["status"] == "ok")
        #expect(try server.connect().ask(Self.auth("secrex")).code == -32002)
    }

    @Test func otherMachinesNeedAToken() throws {
        let token = try TemporaryFile("correct horse\n")
        for host in ["0.0.0.0", "::"] {
            let server = try ServerProcess(launching: ["serve", "--port", "0", "--host", host])
            #expect(try server.waitForExit() == 1)
            #expect(server.log.contains("--token-file") && server.log.contains("--insecure"), "\(server.log)")
        }
        let arguments = ["--model", model.path, "--host", "0.0.0.0"]
        #expect(try ServerProcess(arguments + ["--token-file", token.path]).connect().isQuiet())
        #expect(try ServerProcess(arguments + ["--insecure"]).connect().isQuiet())
    }

    @Test func addressesThatOnlyLookLocal() throws {
        // An address may begin as one of this machine's loopback does, and a name as its name does.
        for (host, reason) in [("::1:2", "--token-file"), ("localhost.example.invalid", "There is no address")] {
            let server = try ServerProcess(launching: ["serve", "--port", "0", "--host", host])
            #expect(try server.waitForExit() == 1)
            #expect(server.log.contains(reason) || server.log.contains("no address of this machine"), "\(server.log)")
        }
    }

    @Test func aPortInUse() throws {
        let server = try ServerProcess(model: model.path)
        let second = try ServerProcess(
            launching: ["serve", "--port", "\(server.port)", "--model", model.path])
        #expect(try second.waitForExit() == 1)
        #expect(second.log.contains("127.0.0.1:\(server.port) is in use"), "\(second.log)")
        #expect(second.log.contains("--port 0"))
        #expect(try server.connect().isQuiet())
    }

    @Test func addressesThatDoNotExist() throws {
        let server = try ServerProcess(launching: ["serve", "--port", "0", "--host", "192.0.2.1", "--insecure"])
        #expect(try server.waitForExit() == 1)
        #expect(server.log.contains("no address of this machine"), "\(server.log)")
    }

    /// To the system it would be a socket that has no file, and no owner.
    @Test func aUnixSocketNeedsAPath() throws {
        let server = try ServerProcess(launching: ["serve", "--port", "0", "--model", model.path, "--unix", ""])
        #expect(try server.waitForExit() == 1)
        #expect(server.log.contains("--unix has no path"), "\(server.log)")
    }

    @Test func aUnixSocket() throws {
        let folder = try temporaryFolder()
        defer { rmdir(folder) }
        let path = folder + "/socket"
        let server = try ServerProcess(model: model.path, ["--unix", path])
        try server.waitForLog("listening on \(path)")
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        #expect(status.st_mode & S_IFMT == S_IFSOCK)
        let client = try LineSocket(unixPath: path)
        #expect(try client.ask(oracle.embedLine()).embeddings.count == 1)
        #expect(try server.connect().ask(oracle.embedLine()).line == client.ask(oracle.embedLine()).line)
        client.finishSending()
        #expect(try client.readLine() == nil)

        let second = try ServerProcess(launching: ["serve", "--port", "0", "--model", model.path, "--unix", path])
        #expect(try second.waitForExit() == 1)
        #expect(second.log.contains("in use by another server"), "\(second.log)")
        #expect(try LineSocket(unixPath: path).isQuiet())

        // Killed, it leaves its file; the next server takes the place.
        server.send(SIGKILL)
        #expect(try server.waitForExit() == 128 + SIGKILL)
        #expect(lstat(path, &status) == 0)
        let third = try ServerProcess(model: model.path, ["--unix", path])
        #expect(try LineSocket(unixPath: path).isQuiet())
        third.send(SIGTERM)
        #expect(try third.waitForExit() == 0)
        #expect(lstat(path, &status) != 0, "the file goes with the server")
    }

    /// Of servers that find the same file left behind at one time, one takes its place and the others say so.
    @Test func aUnixPathThatManyWant() throws {
        let folder = try temporaryFolder()
        defer { rmdir(folder) }
        let path = folder + "/socket"
        close(try Self.unixSocket(SOCK_STREAM, at: path))
        let servers = try (0..<8).map { _ in
            try ServerProcess(launching: ["serve", "--port", "0", "--model", model.path, "--unix", path])
        }
        let lines = try servers.map { try $0.waitForLog(of: ["listening on \(path)", "in use by another server"]) }
        let living = zip(servers, lines).filter { $0.1.contains("listening on") }.map(\.0)
        #expect(living.count == 1, "\(lines)")
        #expect(try LineSocket(unixPath: path).isQuiet())
        living.first?.send(SIGTERM)
        #expect(try living.first?.waitForExit() == 0)
    }

    @Test func aUnixPathThatIsTaken() throws {
        let file = try TemporaryFile("precious\n")
        let server = try ServerProcess(launching: ["serve", "--port", "0", "--model", model.path, "--unix", file.path])
        #expect(try server.waitForExit() == 1)
        #expect(server.log.contains("is a file and no socket"), "\(server.log)")
        #expect(access(file.path, F_OK) == 0)
        let long = "/tmp/" + String(repeating: "x", count: 200)
        let other = try ServerProcess(launching: ["serve", "--port", "0", "--model", model.path, "--unix", long])
        #expect(try other.waitForExit() == 1)
        #expect(other.log.contains("--unix \(long): the path of a socket has at most 107 bytes"), "\(other.log)")
    }
    /// A bare Unix domain socket at `path`, of type SOCK_STREAM listening with a queue of one.
    private static func unixSocket(_ type: __socket_type, at path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard exemplar_bind_unix(descriptor, path) == 0, type != SOCK_STREAM || listen(descriptor, 0) == 0 else {
            throw TestFailure("no socket at \(path): \(errno)")
        }
        return descriptor
    }

    private static func inode(_ path: String) -> ino_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_ino : nil
    }

    /// A connection fails where a server is too busy to take it, and where what listens is none of ours: neither is
    /// a file that was left behind.
    @Test func aUnixSocketThatFailsConnectionsAndLives() throws {
        let folder = try temporaryFolder()
        let (busy, other) = (folder + "/busy", folder + "/other")
        var descriptors = [
            try Self.unixSocket(SOCK_STREAM, at: busy), try Self.unixSocket(SOCK_DGRAM, at: other),
        ]
        defer {
            for descriptor in descriptors { close(descriptor) }
            for path in [busy, other] { unlink(path) }
            rmdir(folder)
        }
        while true {
            let client = socket(
                AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
            descriptors.append(client)
            if exemplar_connect_unix(client, busy) != 0 { break }
        }
        for (path, reason) in [(busy, "is in use by another server"), (other, "cannot be asked")] {
            let before = Self.inode(path)
            let server = try ServerProcess(launching: ["serve", "--port", "0", "--model", model.path, "--unix", path])
            #expect(try server.waitForExit() == 1)
            #expect(server.log.contains("\(path) \(reason)"), "\(server.log)")
            #expect(Self.inode(path) == before)
        }
    }

    /// What took the place of the server's file is somebody else's.
    @Test func aUnixSocketThatWasReplaced() throws {
        let folder = try temporaryFolder()
        let path = folder + "/socket"
        let server = try ServerProcess(model: model.path, ["--unix", path])
        #expect(try LineSocket(unixPath: path).isQuiet())
        // Renamed and kept, so that the other cannot get the same number.
        #expect(rename(path, folder + "/old") == 0)
        let successor = try Self.unixSocket(SOCK_STREAM, at: path)
        defer {
            close(successor)
            for name in ["socket", "old"] { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
        server.send(SIGTERM)
        #expect(try server.waitForExit() == 0)
        #expect(Self.inode(path) != nil)
        #expect(try LineSocket(unixPath: path).descriptor >= 0)
    }
}

import CPlatform
import Glibc
import Images
import JSONRPC
import TestSupport
import Testing
import Transformations

/// Time that a client does not answer for: while the server works for it, or does not read it, no time-out of its runs.
@Suite(.waiting) struct ServersTimeTests {
    /// Longer than this test itself may be kept from its core between two calls.
    private static let idleTimeout = isInstrumented ? "3" : "0.5"

    /// Whether something has come, or the end.
    private func hasNews(_ client: LineSocket) -> Bool {
        var byte: UInt8 = 0
        return recv(client.descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) >= 0 || errno != EAGAIN
    }

    /// A client whose request takes long says nothing meanwhile, and is not idle: another, who came later and is, is
    /// closed before it.
    @Test func whoWaitsForAnAnswerIsNotIdle() throws {
        let oracle = Oracle.wide(
            transformations: TransformationRanges(
                translation: 0.1, scale: 0.9...1.1, rotationDegrees: 10, contrast: nil, color: nil, hue: nil,
                border: .reflect))
        let model = try TemporaryModel(oracle, golden: 0)
        let server = try ServerProcess(model: model.path, ["--idle-timeout", Self.idleTimeout, "--queue", "100000"])
        // Ended by its deadline, so that it takes as long on every machine. Where this test is kept from its core the
        // answer may be there too early to tell anything.
        for deadline in [2000, 8000, 32_000] {
            let transform = #","transform":{"mode":"mean","samples":100000,"seed":1},"deadline_ms":\#(deadline)"#
            let line = oracle.embedLine([1], transform)
            let client = try server.connect()
            try client.send(line: line)
            let bystander = try server.connect()
            #expect(try bystander.isClosedByServer())
            let isEarly = hasNews(client)
            #expect(try client.reply().code == -32008)
            if !isEarly {
                #expect(try client.isClosedByServer(), "now it is idle")
                return
            }
        }
        throw TestFailure("the answer always came first")
    }

    /// A client that is owed much is not read, in the middle of a line as anywhere else: what it has still to send of
    /// that line may come as late as its replies are taken.
    @Test func halfALineOfWhomTheServerDoesNotRead() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle, golden: 0)
        let patience = isInstrumented ? "15" : "2"
        let server = try ServerProcess(
            model: model.path,
            [
                "--read-timeout", patience, "--line-timeout", patience, "--write-timeout", "600", "--idle-timeout",
                Self.idleTimeout,
            ])
        // Some 25 MB for a few kilobytes, so that the half line comes with them: a grey image is small.
        let grey = Raster(height: 24, width: 24, channels: .rgb, pixels: [UInt8](repeating: 128, count: 24 * 24 * 3))
        let file = "\"\(base64(try #require(grey).png()))\""
        let files = Array(repeating: file, count: 128).joined(separator: ",")
        let line =
            #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"images":[\#(files)],"layers":["conv1"]}}"#
        let (half, rest) = (#"{"jsonrpc":"2.0","id":2,"#, #""method":"live"}"#)
        let client = try server.connect(receiveBuffer: 64 << 10)
        try client.send(line + "\n" + half)
        try waitUntil("no reply") { hasNews(client) }
        let control = try server.connect()
        try control.send(half)
        #expect(try control.isClosedByServer())

        #expect(try client.skipLine() > 20_000_000)
        // It is read again, and looked at again: when somebody else is closed for being idle.
        #expect(try server.connect().isClosedByServer())
        try client.send(line: rest)
        #expect(try client.reply().id == 2)
    }
}

import CPlatform
import ExemplarNetwork
import Glibc
import JSONRPC
import TestSupport
import Testing

/// A client whose line finds no room while models are reloaded is not read, and is read again once there is room.
@Suite(.waiting) struct LinesThatWaitTests {
    /// A server whose reloads last until the test ends them: `a` is loaded a second time beside the one that serves,
    /// and then the config.json of `b` is held.
    private final class Fixture {
        /// Bytes that are left for everything else while a reload is held up.
        static let room = 2 << 20

        let server: ServerProcess
        let good: LineSocket
        private let models: (a: TemporaryModel, b: TemporaryModel)
        private let folder: ModelsFolder
        private let before: TestMemory
        /// Of `a`.
        private let byteCount: Int
        private var held: HeldFile

        init(readTimeout: String = "600") throws {
            func size(of model: TemporaryModel) throws -> Int {
                let loaded = try Model.load(folder: model.path)
                return try loaded.weightByteCount + loaded.workersByteCount(maximumBatch: 64)
            }
            models = (try TemporaryModel(.wide()), try TemporaryModel(.tiny()))
            folder = try ModelsFolder([("a", models.a), ("b", models.b)])
            byteCount = try size(of: models.a)
            let limit = try 2 * byteCount + size(of: models.b) + Self.room
            // A quarter of what one set leaves over is for lines: no client here is closed for its line.
            try #require((byteCount + Self.room) / 4 > 3 * Self.room)
            server = try ServerProcess([
                "--models", folder.path, "--memory-limit", "\(limit)", "--read-timeout", readTimeout,
            ])
            good = try server.connect()
            before = try good.memory()
            held = try HeldFile(models.b.path + "/config.json")
        }

        /// Waits until a reload holds all of its memory.
        ///
        /// - Parameter meanwhile: done now and then until it does.
        func waitUntilHeldUp(_ meanwhile: () -> Void = {}) throws {
            try good.waitForMemory { memory in
                meanwhile()
                return memory.models == before.models + byteCount
            }
        }

        /// Lets the reload that is held up come to its end, where the new models are refused; another one is held up.
        func endReload() throws {
            try held.waitUntilAwaited()
            let next = try HeldFile(models.b.path + "/config.json")
            try held.release()
            held = next
        }

        /// A new client that begins a line, until all lines together take more than `byteCount`.
        func fill(beyond byteCount: Int) throws -> LineSocket {
            let client = try server.connect()
            let part = [UInt8](repeating: UInt8(ascii: " "), count: 32 << 10)
            var rest = Self.room / 2 + 8 * part.count
            try good.waitForMemory { memory in
                if rest > 0 { rest -= client.trySend(part.prefix(rest), isPatient: false) }
                return memory.lines > byteCount
            }
            return client
        }

        /// Whether a client has no reply although others have had more turns than its line has parts to be read.
        func isHeld(_ client: LineSocket) throws -> Bool {
            for _ in 0..<64 { guard try good.isQuiet() else { return false } }
            #expect(try good.memory().total <= before.limit)
            var byte: UInt8 = 0
            return recv(client.descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) < 0 && errno == EAGAIN
        }
    }

    /// A request that is told to be answered, and takes so many bytes more than it has to.
    private static func live(padding: Int) -> String {
        #"{"jsonrpc":"2.0","id":1,"# + String(repeating: " ", count: padding) + #""method":"live"}"#
    }

    private struct Held {
        let waiting: LineSocket
        let writer: LineWriter
        var others: [LineSocket]
    }

    /// Two begun lines, each stopped where it would not fit any more, leave less than a quarter of the room, which is
    /// less than a third line takes; alone it has room, even where its storage has doubled.
    private func heldByOthers(_ fixture: Fixture) throws -> Held {
        fixture.server.send(SIGHUP)
        try fixture.waitUntilHeldUp()
        let others = [
            try fixture.fill(beyond: Fixture.room / 2), try fixture.fill(beyond: Fixture.room / 4 * 3),
        ]
        let before = try fixture.good.memory().lines
        let waiting = try fixture.server.connect()
        let writer = LineWriter(waiting, [Self.live(padding: 600 << 10)])
        // It has begun; the thread that sends it may be kept from its core.
        try fixture.good.waitForMemory { $0.lines > before }
        #expect(try fixture.isHeld(waiting))
        return Held(waiting: waiting, writer: writer, others: others)
    }

    @Test func untilOthersAreGone() throws {
        let fixture = try Fixture()
        var held = try heldByOthers(fixture)
        // A reset alone tells of the end of one that is not read.
        for other in held.others { other.resetOnClose() }
        held.others = []
        #expect(try held.waiting.reply().result?["status"] == "ok")
        held.writer.join()
        try fixture.waitUntilHeldUp()
        try fixture.endReload()
        try fixture.server.waitForLog("the old ones go on")
        #expect(try fixture.good.isQuiet())
    }

    @Test func untilTheReloadEnds() throws {
        let fixture = try Fixture()
        let held = try heldByOthers(fixture)
        try fixture.endReload()
        #expect(try held.waiting.reply().result?["status"] == "ok")
        held.writer.join()
        // So are the others: their lines end here.
        for other in held.others {
            try other.send("\(Self.live(padding: 0))\n")
            #expect(try other.reply().result?["status"] == "ok")
        }
    }

    /// One reload is told to follow another: what waits for memory comes between the two.
    @Test func inTheMiddleOfManyReloads() throws {
        let fixture = try Fixture()
        fixture.server.send(SIGHUP)
        for round in 0..<3 {
            try fixture.waitUntilHeldUp()
            let waiting = try fixture.server.connect()
            // More than can be read while it lasts.
            let writer = LineWriter(waiting, [Self.live(padding: Fixture.room * 5 / 4)])
            try fixture.good.waitForMemory { $0.lines > Fixture.room / 2 }
            fixture.server.send(SIGHUP)
            try fixture.server.waitForLog("info reloading", skip: round + 1)
            #expect(try fixture.isHeld(waiting))
            try fixture.endReload()
            // The next one is held up, too, until this has come.
            #expect(try waiting.reply().result?["status"] == "ok")
            writer.join()
        }
        try fixture.endReload()
        try fixture.server.waitForLog("the old ones go on", skip: 3)
    }

    /// A client that never ends its line keeps a reload waiting for the read time-out and no longer.
    @Test func notForEver() throws {
        let fixture = try Fixture(readTimeout: isInstrumented ? "10" : "2")
        fixture.server.send(SIGHUP)
        try fixture.waitUntilHeldUp()
        let slow = try fixture.fill(beyond: Fixture.room / 2)
        fixture.server.send(SIGHUP)
        try fixture.server.waitForLog("info reloading", skip: 1)
        try fixture.endReload()
        try fixture.server.waitForLog("the old ones go on")
        try fixture.waitUntilHeldUp { slow.trySend(" ".utf8, isPatient: false) }
        try fixture.endReload()
        try fixture.server.waitForLog("the old ones go on", skip: 1)
    }

    /// What a client has still to send is read when the server drains, though it is of no use any more: closing with it
    /// unread would be a reset, which takes back replies that are on their way.
    @Test func untilTheServerEnds() throws {
        let fixture = try Fixture()
        fixture.server.send(SIGHUP)
        try fixture.waitUntilHeldUp()
        let client = try fixture.fill(beyond: Fixture.room / 2)
        client.trySend([UInt8](repeating: UInt8(ascii: " "), count: 32 << 10), isPatient: false)
        #expect(try fixture.isHeld(client))
        fixture.server.send(SIGTERM)
        #expect(try fixture.server.waitForExit() == 0)
        #expect(try client.readLine() == nil)
        var code: Int32 = -1
        var size = socklen_t(MemoryLayout<Int32>.size)
        #expect(getsockopt(client.descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 && code == 0, "no reset")
    }
}

import JSONRPC
import TestSupport
import Testing

/// docs/protocol.md lists the members of long replies: each one that there is, and no other.
@Suite(.waiting) struct DocumentedRepliesTests {
    private let model: TemporaryModel
    private let server: ServerProcess
    private let client: LineSocket

    init() throws {
        model = try TemporaryModel(.tiny())
        server = try ServerProcess(model: model.path)
        client = try server.connect()
    }

    private func members(_ value: JSONValue?) throws -> [JSONValue.Member] {
        guard case .object(let members)? = value else { throw TestFailure("no object") }
        return members
    }

    @Test func membersOfModel() throws {
        let rows = try DocumentedTable("member", in: "protocol.md", below: "## `model` and `models`").rows
        let reply = try members(client.ask(LifeCycleTests.call("model")).result)
        let documented = rows.flatMap { DocumentedTable.code(in: $0[0]) }
        #expect(documented.sorted() == reply.map(\.key).sorted())
        for row in rows {
            let name = DocumentedTable.code(in: row[0])[0]
            guard let value = reply.first(where: { $0.key == name })?.value else { continue }
            let isType =
                switch (row[1], value) {
                case ("string", .string), ("number", .int), ("number", .double), ("array", .array),
                    ("`[H, W, C]`", .array), ("object", .object):
                    true
                default: false
                }
            #expect(isType, "\(name) is \(value)")
        }
    }

    /// Names below a member, at any depth.
    private func names(below value: JSONValue) -> [String] {
        guard case .object(let members) = value else { return [] }
        return members.flatMap { [$0.key] + names(below: $0.value) }
    }

    @Test func membersOfStats() throws {
        // One of each that is counted by a name: of these the document says what they are.
        _ = try client.ask(Oracle.tiny().embedLine())
        _ = try client.ask(LifeCycleTests.call("nonsense"))
        let counts = ["requests", "errors", "batch_sizes"]
        let reply = try members(client.ask(LifeCycleTests.call("stats")).result)
        let table = try DocumentedTable("member of `stats`", in: "protocol.md", below: "## `ready`, `live` and `stats`")
        #expect(table.rows.flatMap { DocumentedTable.code(in: $0[0]) }.sorted() == reply.map(\.key).sorted())
        for row in table.rows {
            let own = DocumentedTable.code(in: row[0])
            let values = reply.filter { own.contains($0.key) && !counts.contains($0.key) }.map(\.value)
            // Under sanitizers there is no allocator that tells.
            if values == [.null] { continue }
            #expect(Set(values.flatMap(names)) == Set(DocumentedTable.code(in: row[1])), "\(own)")
        }
        for count in counts { #expect(try !members(reply.first { $0.key == count }?.value).isEmpty, "\(count)") }
    }

    /// What only grows: connections that were opened, and the time since the start, which is the test's own time, too.
    @Test func timeAndConnections() throws {
        func stats() throws -> JSONValue? { try client.ask(LifeCycleTests.call("stats")).result }
        let before = ContinuousClock.now
        let first = try stats()
        let start = ContinuousClock.now
        #expect(first?["connections"]?["opened"] == 1 && first?["connections"]?["open"] == 1)
        #expect(try server.connect().isQuiet())
        // The server hears of its end some time later. Nobody computes anything then.
        try waitUntil("it stays, or workers do not rest") {
            let stats = try stats()
            return stats?["connections"]?["open"] == 1 && stats?["workers"] == ["count": 2, "idle": 2]
        }
        let end = ContinuousClock.now
        let last = try stats()
        let after = ContinuousClock.now
        #expect(last?["connections"]?["opened"] == 2)
        let uptimes = try [first, last].map { try #require(number($0?["uptime_seconds"])) }
        let passed = uptimes[1] - uptimes[0]
        #expect(uptimes[0] > 0 && passed >= start.duration(to: end) / .seconds(1))
        #expect(passed <= before.duration(to: after) / .seconds(1))
    }
}

import Batching
import CPlatform
import Glibc
import JSONRPC
import Testing

@testable import ExemplarServer

/// Over a real socket, with requests written byte by byte.
@Suite struct HTTPEndpointTests {
    struct Reply {
        var status: Int
        var head: String
        var body: String
    }

    let observer: ServerObserver
    let batcher: InferenceBatcher
    let statistics = Statistics()
    let endpoint: HTTPEndpoint
    let port: UInt16

    init() throws {
        batcher = InferenceBatcher(limits: BatchingLimits(maxBatch: 8, queue: 32, workers: 1), now: { .now })
        let observer = ServerObserver(
            statistics: statistics, batcher: batcher, images: ImageDecoding(outbox: try Outbox(loops: 1), queue: 32),
            memory: MemoryBudget(chosen: nil), connectionLimit: 10, progressTimeout: .seconds(30))
        self.observer = observer
        endpoint = try HTTPEndpoint(host: "127.0.0.1", port: 0) { observer.answer($0) }
        port = try #require(endpoint.name.split(separator: ":").last.flatMap { UInt16($0) })
    }

    func connected() throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(status == 0)
        // A test that waits for ever says less than one that fails.
        var limit = timeval(tv_sec: Patience.seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }

    /// Sends `request` and reads until the server closes the connection.
    func exchange(_ request: String) throws -> Reply {
        let descriptor = try connected()
        defer { close(descriptor) }
        let bytes = Array(request.utf8)
        // An endpoint that refuses a connection may have closed it already: an error, and no failure by itself.
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw TestFailure("the request cannot be sent")
        }
        var received: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { break }
            received += chunk[..<count]
        }
        let text = String(decoding: received, as: UTF8.self)
        guard let end = text.firstRange(of: "\r\n\r\n") else { throw TestFailure("no reply: \(text)") }
        let head = String(text[..<end.lowerBound])
        let words = head.split(whereSeparator: \.isWhitespace)
        let status = try #require(words.count > 1 ? Int(words[1]) : nil)
        return Reply(status: status, head: head, body: String(text[end.upperBound...]))
    }

    func get(_ path: String, method: String = "GET") throws -> Reply {
        try exchange("\(method) \(path) HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    }

    @Test func healthAndReadinessAreTwoAnswers() throws {
        #expect(try get("/healthz").status == 200)
        let loading = try get("/readyz")
        #expect(loading.status == 503)
        #expect(loading.body == "loading\n")
        observer.didLoad([])
        let ready = try get("/readyz?verbose")
        #expect(ready.status == 200)
        #expect(ready.body == "ok\n")
        observer.willDrain()
        #expect(try get("/readyz").body == "draining\n")
        #expect(try get("/healthz").status == 200)
    }

    @Test func metricsAreWhatWasCounted() throws {
        statistics.update { $0.requests[.embed] = 5 }
        statistics.record(3, of: .patches)
        observer.didLoad([])
        let reply = try get("/metrics")
        #expect(reply.status == 200)
        #expect(reply.head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8"))
        let page = ExpositionGrammar(reply.body)
        #expect(page.faults == [])
        #expect(page.value("exemplar_requests_total", ["method": "embed"]) == 5)
        #expect(page.value("exemplar_batch_size_sum") == 3)
        #expect(page.value("exemplar_queue_limit_patches") == 32)
        #expect(page.value("exemplar_ready") == 1)
        #expect(page.value("process_resident_memory_bytes") ?? 0 > 0)
    }

    @Test func onlyGetOfWhatThereIs() throws {
        for path in ["/", "/metrics/", "/nothing", "/METRICS"] { #expect(try get(path).status == 404, "\(path)") }
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let reply = try get("/metrics", method: method)
            #expect(reply.status == 405)
            #expect(reply.head.contains("Allow: GET, HEAD"))
        }
        let body = try exchange("POST /metrics HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\nabc")
        #expect(body.status == 405)
        let head = try get("/healthz", method: "HEAD")
        #expect(head.status == 200)
        #expect(head.body.isEmpty)
    }

    @Test func oneConnectionMayAskSeveralTimes() throws {
        let reply = try exchange(
            "GET /healthz HTTP/1.1\r\nHost: t\r\n\r\nGET /nothing HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        #expect(reply.status == 200)
        #expect(reply.body.contains("HTTP/1.1 404"))
    }

    /// A peer may hold sixteen connections; the seventeenth is closed, and another is served once they are gone.
    @Test func connectionsAreBounded() throws {
        let held = try (0..<16).map { _ in try connected() }
        var buffer = [UInt8](repeating: 0, count: 64)
        let request = Array("GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n".utf8)
        for descriptor in held {
            // Each must be known to the server before the next can be one too many.
            #expect(send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
            #expect(recv(descriptor, &buffer, buffer.count, 0) > 0)
        }
        let refused = try connected()
        // One that has a place would get an answer. Where it is closed already this cannot be sent.
        send(refused, request, request.count, Int32(MSG_NOSIGNAL))
        let count = recv(refused, &buffer, buffer.count, 0)
        #expect(count == 0 || count < 0 && errno == ECONNRESET, "\(count), \(errno)")
        close(refused)
        held.forEach { close($0) }
        // The server learns of the closed ones in its own time.
        try waitUntil("the places are never free") { (try? get("/healthz").status) == 200 }
    }

    @Test func aPortInUseIsNamed() throws {
        let error = #expect(throws: ServerError.self) {
            try HTTPEndpoint(host: "127.0.0.1", port: port) { _ in nil }
        }
        #expect(error?.description.contains("--metrics-port") == true)
    }
}

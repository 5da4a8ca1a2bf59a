import ExemplarNetwork
import JSONRPC
import KernelInterface
import Testing

@testable import ExemplarServer
@testable import Tensors

/// Every figure of the server is told under its own name, on the page of metrics and in the reply of `stats`: here each
/// has a value that no other has.
@Suite struct FiguresTests {
    /// Thousands of durations, a factor between their quantiles: `scale` milliseconds for most of them.
    private static func histogram(_ scale: Int, count: Int) -> Histogram {
        var histogram = Histogram()
        for (part, factor) in [(600, 1), (350, 10), (45, 100), (5, 1000)] {
            for _ in 0..<part * count / 1000 { histogram.record(.milliseconds(scale * factor)) }
        }
        return histogram
    }

    private static func statistics() -> Statistics.Figures {
        var statistics = Statistics.Figures()
        for (index, method) in Request.Method.allCases.enumerated() {
            statistics.requests[method] = 100 + UInt64(index)
        }
        for (index, code) in ErrorCode.allCases.enumerated() { statistics.errors[code] = 200 + UInt64(index) }
        for (index, timeout) in ConnectionTimeout.allCases.enumerated() {
            statistics.timedOut[timeout] = 300 + UInt64(index)
        }
        for index in statistics.batchSizes.indices { statistics.batchSizes[index] = 1 << UInt64(index) }
        statistics.batches = 4095
        (statistics.patches, statistics.imagePatches) = (501, 502)
        statistics.queue = histogram(1, count: 1000)
        statistics.compute = histogram(2, count: 2000)
        statistics.total = histogram(4, count: 3000)
        (statistics.connections, statistics.connectionsOpened, statistics.connectionsRefused) = (503, 504, 505)
        (statistics.bytesReceived, statistics.bytesSent) = (506, 507)
        (statistics.reloads, statistics.failedReloads) = (508, 509)
        return statistics
    }

    private static let load = LoadFigures(
        queuedPatches: 601, queuedImagePatches: 602, queueLimit: 603, requestsInFlight: 604, requestsDecoding: 605,
        workers: 606, idleWorkers: 607)

    private static let memory: MemoryHoldings = {
        var memory = MemoryHoldings(limit: 701)
        (memory.models, memory.serving, memory.requests) = (702, 703, 704)
        (memory.waiting, memory.lines, memory.passes) = (705, 706, 707)
        return memory
    }()

    static func figures() -> ServerFigures {
        ServerFigures(
            version: "1.2.3", isReady: true,
            models: [
                ModelDescription(
                    name: "small", sha256: "ab", embedding: "fc", dimension: 7,
                    patchShape: .init(height: 3, width: 3, channels: 1), layers: [], exemplars: nil,
                    instructionSet: .portable, accuracy: .fast, selfTest: "none")
            ], statistics: statistics(), load: load, memory: memory, connectionLimit: 801,
            allocator: .init(
                allocated: 901, active: 902, metadata: 903, resident: 904, mapped: 905, retained: 906, totalBytes: 907,
                totalCount: 908),
            controlGroup: ControlGroupUsage("nr_periods 1001\nnr_throttled 1002\nthrottled_usec 1003000000\n"),
            process: ProcessFigures(
                // Fields 14 and 15 are times, 20 the threads, 22 the start, 23 and 24 sizes (proc(5)).
                stat: "7 (a) S " + (4...52).map { String($0 + 1100) }.joined(separator: " "), bootTime: 5000,
                ticksPerSecond: 1, pageSize: 2
            ).map { figures in
                var figures = figures
                (figures.openDescriptors, figures.maxDescriptors) = (1201, 1202)
                return figures
            })
    }

    /// Those of the page, without its histograms' buckets.
    private static let samples: [(name: String, labels: [String: String], value: Double)] = {
        var samples: [(name: String, labels: [String: String], value: Double)] = [
            ("exemplar_build_info", ["version": "1.2.3"], 1),
            ("exemplar_model_info", ["model": "small", "sha256": "ab", "isa": "portable", "accuracy": "fast"], 1),
            ("exemplar_ready", [:], 1),
            ("exemplar_request_queue_duration_seconds_count", [:], 1000),
            ("exemplar_request_queue_duration_seconds_sum", [:], 0.6 + 3.5 + 4.5 + 5),
            ("exemplar_request_compute_duration_seconds_count", [:], 2000),
            ("exemplar_request_compute_duration_seconds_sum", [:], 4 * (0.6 + 3.5 + 4.5 + 5)),
            ("exemplar_request_duration_seconds_count", [:], 3000),
            ("exemplar_request_duration_seconds_sum", [:], 12 * (0.6 + 3.5 + 4.5 + 5)),
            ("exemplar_batch_size_count", [:], 4095), ("exemplar_batch_size_sum", [:], 501),
            ("exemplar_patches_total", [:], 501), ("exemplar_image_patches_total", [:], 502),
            ("exemplar_connections", [:], 503), ("exemplar_connections_opened_total", [:], 504),
            ("exemplar_connections_refused_total", [:], 505), ("exemplar_received_bytes_total", [:], 506),
            ("exemplar_sent_bytes_total", [:], 507), ("exemplar_reloads_total", ["result": "success"], 508),
            ("exemplar_reloads_total", ["result": "failure"], 509),
            ("exemplar_queue_patches", [:], 601), ("exemplar_queue_image_patches", [:], 602),
            ("exemplar_queue_limit_patches", [:], 603), ("exemplar_requests_in_flight", [:], 604),
            ("exemplar_requests_decoding", [:], 605), ("exemplar_workers", [:], 606),
            ("exemplar_workers_idle", [:], 607), ("exemplar_memory_limit_bytes", [:], 701),
            ("exemplar_connections_limit", [:], 801), ("exemplar_cpu_periods_total", [:], 1001),
            ("exemplar_cpu_throttled_periods_total", [:], 1002), ("exemplar_cpu_throttled_seconds_total", [:], 1003),
            ("process_cpu_seconds_total", [:], 1114 + 1115), ("process_threads", [:], 1120),
            ("process_start_time_seconds", [:], 5000 + 1122), ("process_virtual_memory_bytes", [:], 1123),
            ("process_resident_memory_bytes", [:], 2 * 1124), ("process_open_fds", [:], 1201),
            ("process_max_fds", [:], 1202),
        ]
        for (index, method) in Request.Method.allCases.enumerated() {
            samples.append(("exemplar_requests_total", ["method": method.rawValue], Double(100 + index)))
        }
        for (index, code) in ErrorCode.allCases.enumerated() {
            let labels = ["code": "\(code.rawValue)", "name": code.name]
            samples.append(("exemplar_errors_total", labels, Double(200 + index)))
        }
        for (index, timeout) in ["read", "line", "write", "idle", "auth"].enumerated() {
            samples.append(("exemplar_connections_timed_out_total", ["timeout": timeout], Double(300 + index)))
        }
        for (kind, value) in [("models", 702.0), ("requests", 704), ("replies", 705), ("lines", 706), ("images", 707)] {
            samples.append(("exemplar_memory_bytes", ["kind": kind], value))
        }
        for (index, kind) in ["allocated", "active", "metadata", "resident", "mapped", "retained"].enumerated() {
            samples.append(("exemplar_allocator_bytes", ["kind": kind], Double(901 + index)))
        }
        return samples
    }()

    @Test func everySampleOfThePage() throws {
        let page = ExpositionGrammar(ExpositionTests.text(Self.figures().exposition))
        #expect(page.faults == [])
        for sample in Self.samples {
            let value = try #require(page.value(sample.name, sample.labels), "\(sample.name) \(sample.labels)")
            #expect(abs(value - sample.value) < 1e-6, "\(sample.name) \(sample.labels): \(value)")
        }
        let others = page.samples.filter { sample in
            !Self.samples.contains { $0.name == sample.name && $0.labels == sample.labels }
        }
        #expect(others.allSatisfy { $0.name.hasSuffix("_bucket") }, "\(others)")
        for index in 0..<11 {
            let bound = "\(1 << index)"
            #expect(page.value("exemplar_batch_size_bucket", ["le": bound]) == Double(2 << index) - 1, "\(bound)")
        }
    }

    /// docs/operations.md names each family that the page has, with its labels, and no other.
    @Test func theDocumentNamesEveryFamily() throws {
        let page = ExpositionGrammar(ExpositionTests.text(Self.figures().exposition))
        var documented: [String: Set<String>] = [:]
        for row in try DocumentedTable("family", in: "operations.md", below: "## Metrics").rows {
            for code in DocumentedTable.code(in: row[0]) {
                let parts = code.split { "{}".contains($0) }
                documented[String(parts[0])] =
                    parts.count > 1 ? Set(parts[1].split(separator: ",").map(String.init)) : []
            }
        }
        // Those of the process have no names of ours, and those that are always 1 tell by their labels.
        #expect(documented.removeValue(forKey: "process_*") != nil)
        let families = page.types.keys.filter { !$0.hasPrefix("process_") }
        #expect(Set(families) == Set(documented.keys))
        for sample in page.samples {
            guard let labels = documented[sample.name], !sample.name.hasSuffix("_info") else { continue }
            #expect(labels == Set(sample.labels.keys), "\(sample.name)")
        }
    }

    @Test func everyMemberOfStats() throws {
        let statistics = Statistics()
        statistics.update { $0 = Self.statistics() }
        let json = statistics.json(Self.load, Self.memory, connectionLimit: 801)
        func object(_ pairs: [(String, Int)]) -> JSONValue { .object(pairs.map { .init($0.0, .int($0.1)) }) }
        let methods = Request.Method.allCases.enumerated().sorted { $0.element.rawValue < $1.element.rawValue }
        let codes = ErrorCode.allCases.enumerated().sorted { $0.element.rawValue > $1.element.rawValue }
        for (name, value) in [
            ("version", .string(Server.version)),
            ("requests", object(methods.map { ($0.element.rawValue, 100 + $0.offset) })),
            ("errors", object(codes.map { ("\($0.element.rawValue)", 200 + $0.offset) })),
            ("batch_sizes", object((0..<12).map { ("\(1 << $0)", 1 << $0) })),
            ("patches", 501), ("batches", 4095), ("image_patches", 502),
            ("queue", ["depth": 601, "image_depth": 602, "limit": 603, "in_flight": 604, "decoding": 605]),
            ("workers", ["count": 606, "idle": 607]),
            (
                "connections",
                [
                    "open": 503, "opened": 504, "refused": 505, "limit": 801,
                    "timed_out": ["read": 300, "line": 301, "write": 302, "idle": 303, "auth": 304],
                ]
            ),
            ("bytes", ["received": 506, "sent": 507]), ("reloads", ["succeeded": 508, "failed": 509]),
            (
                "memory",
                ["limit": 701, "models": 702, "requests": 704, "replies": 705, "lines": 706, "images": 707]
            ),
        ] as [(String, JSONValue)] { #expect(json[name] == value, "\(name)") }
        for (name, scale, count) in [("queue", 1, 1000), ("compute", 2, 2000), ("total", 4, 3000)] {
            let latency = json["latency_ms"]?[name]
            #expect(latency?["count"] == .int(count))
            for (quantile, factor) in [("p50", 1), ("p90", 10), ("p99", 100), ("p999", 1000)] {
                let ratio = try #require(number(latency?[quantile])) / Double(scale * factor)
                #expect((0.91...1.1).contains(ratio), "\(name) \(quantile)")
            }
        }
        let none = Statistics().json(Self.load, Self.memory, connectionLimit: 801)
        #expect(none["latency_ms"]?["queue"] == ["count": 0, "p50": nil, "p90": nil, "p99": nil, "p999": nil])
        #expect(none["requests"] == .object([]) && none["errors"] == .object([]) && none["batch_sizes"] == .object([]))
    }

    /// What the allocator tells changes all the time: the reply is held against what is kept for a moment.
    @Test func theAllocatorsMembers() throws {
        let statistics = Statistics()
        var (kept, told): (AllocatorStatistics?, JSONValue?) = (nil, nil)
        try waitUntil("the figures change too soon") {
            kept = statistics.allocatorFigures.value()
            told = statistics.json(Self.load, Self.memory, connectionLimit: 1)["allocator"]
            return kept == statistics.allocatorFigures.value()
        }
        guard let kept else {
            #expect(told == .null)
            return
        }
        let expected: [(String, Int)] = [
            ("allocated", kept.allocated), ("active", kept.active), ("metadata", kept.metadata),
            ("resident", kept.resident), ("mapped", kept.mapped), ("retained", kept.retained),
            ("total_bytes", kept.totalBytes), ("total_allocations", kept.totalCount),
        ]
        #expect(told == .object(expected.map { .init($0.0, .int($0.1)) }))
    }

    /// A batch counts under the first power of two that it does not exceed; the last takes in all larger ones.
    @Test func batchSizes() {
        for (count, size) in [
            (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 16), (32, 32), (33, 64), (64, 64), (65, 128),
            (1023, 1024), (1024, 1024), (1025, 2048), (2048, 2048), (2049, 2048), (100_000, 2048),
        ] {
            let statistics = Statistics()
            statistics.record(count, of: .patches)
            let json = statistics.json(Self.load, Self.memory, connectionLimit: 1)
            #expect(json["batch_sizes"] == .object([.init("\(size)", 1)]), "\(count)")
            #expect(json["batches"] == 1 && json["patches"] == .int(count))
        }
    }
}

import ExemplarNetwork
import FoundationEssentials
import JSONRPC
import KernelInterface
import Testing

@testable import ExemplarServer
@testable import Tensors

@Suite struct ExpositionTests {
    static func text(_ buffer: ByteBuffer) -> String { buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }

    static func figures() -> ServerFigures {
        var statistics = Statistics.Figures()
        statistics.requests = [.embed: 12, .stats: 1]
        statistics.errors = [.overloaded: 3]
        statistics.patches = 70
        statistics.batches = 4
        statistics.imagePatches = 25
        // Batches of 1, 2, 3 and 64.
        statistics.batchSizes[0] = 1
        statistics.batchSizes[1] = 1
        statistics.batchSizes[2] = 1
        statistics.batchSizes[6] = 1
        for milliseconds in [1, 2, 4, 200_000] { statistics.total.record(.milliseconds(milliseconds)) }
        statistics.connections = 5
        statistics.reloads = 2
        var memory = MemoryHoldings(limit: 1000)
        (memory.models, memory.requests, memory.waiting, memory.lines, memory.passes) = (500, 40, 30, 20, 10)
        return ServerFigures(
            version: "1.2.3", isReady: true,
            models: [
                ModelDescription(
                    name: #"a "model" \ two"# + "\nlines", sha256: "ab", embedding: "fc", dimension: 7,
                    patchShape: .init(height: 3, width: 3, channels: 1), layers: [], exemplars: nil,
                    instructionSet: .portable, accuracy: .standard, selfTest: "none")
            ],
            statistics: statistics,
            load: LoadFigures(
                queuedPatches: 9, queuedImagePatches: 7, queueLimit: 4096, requestsInFlight: 5, requestsDecoding: 3,
                workers: 2, idleWorkers: 1),
            memory: memory, connectionLimit: 1024,
            allocator: .init(
                allocated: 1, active: 2, metadata: 3, resident: 4, mapped: 5, retained: 6, totalBytes: 0,
                totalCount: 0),
            controlGroup: ControlGroupUsage("nr_periods 10\nnr_throttled 4\nthrottled_usec 2500000\n"),
            process: ProcessFigures(
                stat: "7 (a b) ) S " + (4...52).map(String.init).joined(separator: " "), bootTime: 1000,
                ticksPerSecond: 100, pageSize: 4096))
    }

    @Test func everyFamilyKeepsToTheGrammar() throws {
        let page = ExpositionGrammar(Self.text(Self.figures().exposition))
        #expect(page.faults == [])
        #expect(page.value("exemplar_requests_total", ["method": "embed"]) == 12)
        #expect(page.value("exemplar_requests_total", ["method": "live"]) == 0)
        #expect(page.value("exemplar_errors_total", ["code": "-32000", "name": "overloaded"]) == 3)
        #expect(page.value("exemplar_build_info", ["version": "1.2.3"]) == 1)
        #expect(page.value("exemplar_queue_patches") == 9)
        #expect(page.value("exemplar_queue_image_patches") == 7)
        #expect(page.value("exemplar_image_patches_total") == 25)
        #expect(page.value("exemplar_queue_limit_patches") == 4096)
        #expect(page.value("exemplar_requests_in_flight") == 5)
        #expect(page.value("exemplar_requests_decoding") == 3)
        #expect(page.value("exemplar_connections") == 5)
        #expect(page.value("exemplar_reloads_total", ["result": "success"]) == 2)
        for (index, kind) in ["allocated", "active", "metadata", "resident", "mapped", "retained"].enumerated() {
            #expect(page.value("exemplar_allocator_bytes", ["kind": kind]) == Double(index + 1))
        }
        #expect(page.value("exemplar_memory_limit_bytes") == 1000)
        for (kind, value) in [("models", 500.0), ("requests", 40), ("replies", 30), ("lines", 20), ("images", 10)] {
            #expect(page.value("exemplar_memory_bytes", ["kind": kind]) == value)
        }
        #expect(page.value("exemplar_cpu_throttled_periods_total") == 4)
        #expect(page.value("exemplar_cpu_throttled_seconds_total") == 2.5)
        #expect(page.value("process_cpu_seconds_total") == 0.29)
        // The name of a model comes from a file: what it holds comes back as it was, and breaks no line.
        let labels = [
            "model": #"a "model" \ two"# + "\nlines", "sha256": "ab", "isa": "portable", "accuracy": "standard",
        ]
        #expect(page.value("exemplar_model_info", labels) == 1)
    }

    /// A panel or an alarm on a metric that is not there stays empty, or silent, for ever.
    @Test(arguments: ["grafana/exemplar.json", "prometheus/exemplar.rules.yml"])
    func dashboardsAndAlarmsAskForWhatIsThere(_ path: String) throws {
        let deploy = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../deploy")
        let text = try String(contentsOf: deploy.appending(path: path), encoding: .utf8)
        var figures = Self.figures()
        figures.process = .current()
        let page = ExpositionGrammar(Self.text(figures.exposition))
        let known = Set(page.samples.map(\.name))
        var asked = 0
        for match in text.matches(of: /\b(?:exemplar|process)_[a-z_]+/) {
            let name = String(match.output)
            #expect(known.contains(name), "\(path) asks for \(name)")
            asked += 1
        }
        #expect(asked > 5, "what else would they look at?")
    }

    @Test func histogramsCountWhatIsAtMostAsLarge() {
        let page = ExpositionGrammar(Self.text(Self.figures().exposition))
        for (bound, count) in [("1", 1), ("2", 2), ("4", 3), ("32", 3), ("64", 4), ("1024", 4), ("+Inf", 4)] {
            #expect(page.value("exemplar_batch_size_bucket", ["le": bound]) == Double(count), "\(bound)")
        }
        #expect(page.value("exemplar_batch_size_sum") == 70)
        #expect(page.value("exemplar_batch_size_count") == 4)
        let durations = page.samples.filter { $0.name == "exemplar_request_duration_seconds_bucket" }
        for sample in durations {
            let bound = sample.labels["le"] == "+Inf" ? Double.infinity : Double(sample.labels["le"] ?? "") ?? .nan
            let expected = [0.001, 0.002, 0.004, 200].count { $0 <= bound }
            #expect(sample.value == Double(expected), "\(bound)")
        }
        #expect(durations.count > 20)
        #expect(page.value("exemplar_request_duration_seconds_count") == 4)
    }

    @Test func whatCannotBeReadIsLeftOut() {
        var figures = Self.figures()
        figures.models = []
        figures.allocator = nil
        figures.controlGroup = nil
        figures.process = nil
        figures.isReady = false
        let page = ExpositionGrammar(Self.text(figures.exposition))
        #expect(page.faults == [])
        #expect(page.value("exemplar_ready") == 0)
        let absent = ["exemplar_model_info", "exemplar_allocator_bytes", "exemplar_cpu", "process_"]
        for sample in page.samples { #expect(!absent.contains { sample.name.hasPrefix($0) }, "\(sample.name)") }
    }

    @Test(arguments: [
        (0, "0"), (3, "3"), (-1, "-1"), (0.5, "0.5"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
        (1e300, "1e+300"),
    ])
    func numbers(value: Double, text: String) { #expect(Exposition.number(value) == text) }

    /// The grammar itself can find fault.
    @Test(arguments: [
        "a 1\n", "# TYPE a gauge\na 1\n", "# HELP a x\n# TYPE a gauge\na 1", "# HELP a x\n# TYPE a gauge\na one\n",
        "# HELP a x\n# TYPE a counter\na 1\n", "# HELP a x\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"c} 1\n", "# HELP a x\n# TYPE a gauge\na{1b=\"c\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\nb 1\na{c=\"d\"} 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
    ])
    func faultsAreFound(text: String) { #expect(!ExpositionGrammar(text).faults.isEmpty) }
}

/// Parsers of the kernel's files, on their texts.
@Suite struct KernelFileTests {
    @Test func throttlingOfBothVersions() throws {
        let unified = """
            usage_usec 8241000
            user_usec 8000000
            system_usec 241000
            nr_periods 120
            nr_throttled 30
            throttled_usec 1500000
            nr_bursts 0
            burst_usec 0

            """
        let second = try #require(ControlGroupUsage(unified))
        #expect(second.periods == 120)
        #expect(second.throttledPeriods == 30)
        #expect(second.throttledSeconds == 1.5)
        let first = try #require(ControlGroupUsage("nr_periods 8\nnr_throttled 2\nthrottled_time 250000000\n"))
        #expect(first == second.with(periods: 8, throttled: 2, seconds: 0.25))
        // A group without a quota has the file without these figures.
        for text in [
            "", "usage_usec 1\nuser_usec 1\nsystem_usec 0\n", "nr_periods 1\n", "nr_periods x\nnr_throttled 1\n",
        ] {
            #expect(ControlGroupUsage(text) == nil, "\(text)")
        }
    }

    @Test func aProcessOfAnyName() throws {
        let fields = (4...52).map { $0 == 22 ? "5000" : String($0) }.joined(separator: " ")
        for name in ["exemplar", "a b", "a) S 1", "("] {
            let figures = try #require(
                ProcessFigures(stat: "42 (\(name)) S \(fields)\n", bootTime: 100, ticksPerSecond: 100, pageSize: 4096))
            #expect(figures.cpuSeconds == 0.29)
            #expect(figures.threads == 20)
            #expect(figures.startTime == 150)
            #expect(figures.virtualBytes == 23)
            #expect(figures.residentBytes == 24 * 4096)
        }
        for text in ["", "42 (a", "42 (a) S 1 2", "42 (a) " + String(repeating: "x ", count: 50)] {
            #expect(ProcessFigures(stat: text, bootTime: 0, ticksPerSecond: 100, pageSize: 4096) == nil, "\(text)")
        }
        #expect(ProcessFigures.bootTime("cpu 1 2\nbtime 1700000000\nprocesses 1\n") == 1.7e9)
        #expect(ProcessFigures.bootTime("cpu 1 2\n") == nil)
    }

    @Test func thisProcess() throws {
        let figures = try #require(ProcessFigures.current())
        #expect(figures.residentBytes > 1e6)
        #expect(figures.threads >= 1)
        #expect(figures.startTime > 1.5e9)
        #expect(try #require(figures.openDescriptors) >= 1)
        #expect(try #require(figures.maxDescriptors) >= 1)
    }
}

extension ControlGroupUsage {
    fileprivate func with(periods: UInt64, throttled: UInt64, seconds: Double) -> ControlGroupUsage {
        var copy = self
        copy.periods = periods
        copy.throttledPeriods = throttled
        copy.throttledSeconds = seconds
        return copy
    }
}

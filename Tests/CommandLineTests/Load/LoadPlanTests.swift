import Glibc
import JSONRPC
import TestSupport
import Testing

@testable import exemplar

@Suite struct ArrivalScheduleTests {
    @Test func fixedGapsAddUpToTheRate() {
        var schedule = ArrivalSchedule(.fixed, rate: 8, seed: 1)
        let times = (0..<17).map { _ in schedule.next() }
        for (index, time) in times.enumerated() { #expect(time == .milliseconds(125 * index)) }
    }

    /// The gaps of 20,000 arrivals against the exponential distribution they should have: the mean has a standard error
    /// of 1/√20,000 = 0.7 % of itself, and the part above t should be e^−rt, with a standard error of at most 0.0036.
    /// Four of them are allowed; the seed is fixed.
    @Test func exponentialGapsAreAPoissonProcess() {
        var schedule = ArrivalSchedule(.exponential, rate: 50, seed: 3)
        let times = (0..<20_000).map { _ in schedule.next() / .seconds(1) }
        let gaps = zip(times.dropFirst(), times).map { $0 - $1 }
        #expect(gaps.allSatisfy { $0 >= 0 && $0.isFinite })
        let mean = gaps.reduce(0, +) / Double(gaps.count)
        #expect(abs(mean * 50 - 1) < 0.028)
        for multiple in [0.1, 0.5, 1.0, 2.0, 4.0] {
            let part = Double(gaps.count { $0 > multiple / 50 }) / Double(gaps.count)
            #expect(abs(part - exp(-multiple)) < 0.015, "\(multiple)")
        }
        var again = ArrivalSchedule(.exponential, rate: 50, seed: 3)
        #expect(again.next() / .seconds(1) == times[0])
    }
}

@Suite struct LatencyHistogramTests {
    /// Against sorting, over ten orders of magnitude.
    @Test func quantilesAreRightToWithinABucket() throws {
        var random = SeededGenerator(seed: 9)
        var histogram = LatencyHistogram()
        var all: [Double] = []
        for _ in 0..<5000 {
            let nanoseconds = exp(Double.random(in: 0...26, using: &random)).rounded()
            all.append(nanoseconds)
            histogram.record(.nanoseconds(Int(nanoseconds)))
        }
        all.sort()
        for fraction in [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1] {
            let exact = all[max(0, Int((Double(all.count) * fraction).rounded(.up)) - 1)]
            let found = try #require(histogram.quantile(fraction)) / .nanoseconds(1)
            #expect((exact...exact * (1 + 1.0 / 128)).contains(found), "\(fraction): \(found) for \(exact)")
        }
        #expect(histogram.count == 5000)
        #expect(histogram.max == .nanoseconds(Int(all[4999])))
        let mean = try #require(histogram.mean) / .nanoseconds(1)
        let exactMean = all.reduce(0, +) / 5000
        #expect(abs(mean - exactMean) < 1e-9 * exactMean)
    }

    @Test func theSmallestAndTheLargest() {
        var histogram = LatencyHistogram()
        #expect(histogram.quantile(0.5) == nil)
        for nanoseconds in 0..<300 { histogram.record(.nanoseconds(nanoseconds)) }
        #expect(histogram.quantile(0.5) == .nanoseconds(149))
        histogram.record(.seconds(1_000_000))
        histogram.record(.seconds(-1))
        #expect(histogram.max == .seconds(1_000_000))
        #expect(histogram.quantile(1) ?? .zero > .seconds(3600))
    }
}

@Suite struct LoadPlanTests {
    func plan(_ arguments: [String]) throws(CommandError) -> LoadPlan {
        try LoadPlan(
            ParsedArguments(arguments, options: Command.load.options, operands: .none, environment: [:]))
    }

    @Test func loops() throws {
        let closed = try plan([])
        guard case .closed = closed.loop else { throw CommandError.failure("not closed") }
        #expect(closed.pipeline == 1)
        let open = try plan(["--rate", "2.5", "--arrivals", "fixed", "--samples", "32"])
        guard case .open(.fixed, 2.5) = open.loop else { throw CommandError.failure("not open") }
        #expect(open.pipeline == 256)
        #expect(open.samples == 32)
    }

    @Test(arguments: [
        ["--rate", "0"], ["--rate", "-1"], ["--rate", "x"], ["--rate", "inf"], ["--rate", "nan"],
        ["--arrivals", "fixed"], ["--connections", "0"], ["--connections", "1001"], ["--pipeline", "0"],
        ["--patches", "0"], ["--samples", "0"], ["--duration", "0"], ["--warm-up", "-1"], ["--encoding", "hex"],
        ["--layers", "a,,b"], ["--seed", "-1"], ["--timeout", "0"], ["--rate", "5", "--arrivals", "bursts"],
    ])
    func whatCannotBeMeantIsAMisuse(arguments: [String]) {
        let error = #expect(throws: CommandError.self) { try plan(arguments) }
        #expect(error?.isMisuse == true)
        #expect(error?.message.contains(arguments[0]) == true || arguments.count == 4)
    }

    /// Whatever patches a server says that its model takes.
    @Test func requestsAreNotLongerThanCanBeSent() throws {
        let plan = try plan(["--patches", "4096"])
        let error = #expect(throws: CommandError.self) {
            try RequestTemplate(plan, patchByteCount: 512 * 512 * 4096, model: nil)
        }
        #expect(error?.message.contains("4194304 MiB") == true && error?.message.contains("--patches") == true)
    }

    @Test func requestsAreValidAndDifferByIdAlone() throws {
        var plan = try plan(["--patches", "3", "--samples", "4", "--layers", "conv1,fc", "--encoding", "float"])
        plan.seed = 5
        let template = try RequestTemplate(plan, patchByteCount: 12, model: "odd")
        var parser = RequestParser()
        var lines: [[UInt8]] = []
        for id in [7, 15, 8] {
            var line = ByteBuffer()
            template.write(id, to: &line)
            let bytes = line.withUnsafeBytes { Array($0) }
            lines.append(bytes)
            #expect(bytes.last == 0x0A)
            try bytes.dropLast().withUnsafeBytes { bytes in
                guard case .single(let incoming) = parser.parse(bytes),
                    case .success(.embed(let request)) = incoming.request
                else { throw CommandError.failure("no request to embed") }
                #expect(incoming.id == RequestID(id))
                #expect(request.inputs.entries.count == 3)
                #expect(request.model == "odd")
                #expect(request.layers == .named(["conv1", "fc"]))
                #expect(request.encoding == .float)
                #expect(request.transform?.mode == .mean(samples: 4, seed: 5, tolerance: nil))
            }
        }
        let texts = lines.map { String(decoding: $0, as: UTF8.self) }
        #expect(texts[0].replacing("\"id\":7,", with: "\"id\":15,") == texts[1])
        #expect(texts[0].replacing("\"id\":7,", with: "\"id\":8,") != texts[2])
    }

    @Test func repliesAreScannedForIdAndErrorAlone() {
        func scan(_ text: String) -> ScannedReply? { Array(text.utf8).withUnsafeBytes { ScannedReply($0) } }
        func written(_ content: Response.Content, id: RequestID) -> ScannedReply? {
            var line = ByteBuffer()
            Response(id: id, content: content).write(to: &line)
            return line.withUnsafeBytes { ScannedReply($0) }
        }
        let ok = written(.result(["error": 1]), id: RequestID(12))
        #expect(ok?.id == 12)
        #expect(ok?.code == nil)
        let full = written(.failure(ResponseError(.overloaded, "Full.")), id: RequestID(Int.max))
        #expect(full?.id == .max)
        #expect(full?.code == -32000)
        let connection = written(.failure(ResponseError(.tooManyConnections, "No.")), id: .null)
        #expect(connection != nil)
        #expect(connection?.id == nil)
        #expect(connection?.code == -32009)
        for text in [
            "", "{", "HTTP/1.1 400", "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":1}", "{\"jsonrpc\":\"2.0\",\"id\":1",
        ] {
            #expect(scan(text) == nil, "\(text)")
        }
    }
}

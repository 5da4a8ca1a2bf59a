import ExemplarNetwork
import JSONRPC
import KernelInterface
import Tensors

extension ServerFigures {
    /// The figures in Prometheus's text format; nothing else goes in. docs/operations.md explains each family.
    var exposition: ByteBuffer {
        var page = Exposition()
        page.add(
            "exemplar_build_info", .gauge, "Always 1; the version of the server is a label.",
            [.init(1, .init("version", version))])
        page.add(
            "exemplar_model_info", .gauge, "Always 1; a loaded model, its weights' hash and how it is computed.",
            models.map { model in
                .init(
                    1, .init("model", model.name), .init("sha256", model.sha256),
                    .init("isa", model.instructionSet.rawValue), .init("accuracy", model.accuracy.rawValue))
            })
        page.add(
            "exemplar_ready", .gauge, "1 when the server takes work, 0 while it loads, drains or is stalled.",
            isReady ? 1 : 0)
        addRequests(to: &page)
        addWork(to: &page)
        addConnections(to: &page)
        addMemory(to: &page)
        addControlGroup(to: &page)
        addProcess(to: &page)
        return page.text
    }

    private func addRequests(to page: inout Exposition) {
        // Zeros as well, so that a rate is right from the first request on.
        page.add(
            "exemplar_requests_total", .counter, "Valid requests received, by method.",
            Request.Method.allCases.map { .init(Double(statistics.requests[$0] ?? 0), .init("method", $0.rawValue)) })
        page.add(
            "exemplar_errors_total", .counter, "Errors answered, by code of the line protocol.",
            ErrorCode.allCases.map {
                .init(
                    Double(statistics.errors[$0] ?? 0), .init("code", String($0.rawValue)), .init("name", $0.name))
            })
        page.add(
            "exemplar_request_duration_seconds", "From the arrival of a request to its reply, of requests answered.",
            statistics.total)
        page.add(
            "exemplar_request_queue_duration_seconds", "From the arrival of a request to its last batch's start.",
            statistics.queue)
        page.add(
            "exemplar_request_compute_duration_seconds", "From the start of a request's last batch to its end.",
            statistics.compute)
    }

    private func addWork(to page: inout Exposition) {
        page.add(
            "exemplar_patches_total", .counter, "Patches that the network computed.", Double(statistics.patches))
        page.add(
            "exemplar_image_patches_total", .counter, "The area of the larger images that it ran over, in patches.",
            Double(statistics.imagePatches))
        var cumulative: UInt64 = 0
        // The last of the counts has no upper bound.
        let buckets = statistics.batchSizes.dropLast().enumerated().map { octave, count in
            cumulative += count
            return (bound: Double(1 << octave), cumulative: cumulative)
        }
        page.add(
            "exemplar_batch_size", "Patches in one forward pass.", buckets: buckets, count: statistics.batches,
            sum: Double(statistics.patches))
        page.add("exemplar_queue_patches", .gauge, "Patches that wait.", Double(load.queuedPatches))
        page.add(
            "exemplar_queue_image_patches", .gauge, "The area of the images that wait, in patches.",
            Double(load.queuedImagePatches))
        page.add(
            "exemplar_queue_limit_patches", .gauge, "The most patches that may wait: --queue.", Double(load.queueLimit))
        page.add(
            "exemplar_requests_in_flight", .gauge, "Requests admitted and not yet answered.",
            Double(load.requestsInFlight))
        page.add(
            "exemplar_requests_decoding", .gauge, "Of these, requests whose images are not decoded yet.",
            Double(load.requestsDecoding))
        page.add("exemplar_workers", .gauge, "Threads that compute.", Double(load.workers))
        page.add("exemplar_workers_idle", .gauge, "Threads that wait for work.", Double(load.idleWorkers))
        page.add(
            "exemplar_reloads_total", .counter, "Times that the models were to be loaded again, by outcome.",
            [
                .init(Double(statistics.reloads), .init("result", "success")),
                .init(Double(statistics.failedReloads), .init("result", "failure")),
            ])
    }

    private func addConnections(to page: inout Exposition) {
        page.add("exemplar_connections", .gauge, "Open connections.", Double(statistics.connections))
        page.add(
            "exemplar_connections_limit", .gauge, "The most connections at a time: --max-connections.",
            Double(connectionLimit))
        page.add(
            "exemplar_connections_opened_total", .counter, "Connections taken.", Double(statistics.connectionsOpened))
        page.add(
            "exemplar_connections_refused_total", .counter, "Connections refused, being too many.",
            Double(statistics.connectionsRefused))
        page.add(
            "exemplar_connections_timed_out_total", .counter,
            "Connections closed because their client took too long, by the flag that says how long.",
            ConnectionTimeout.allCases.map {
                .init(Double(statistics.timedOut[$0] ?? 0), .init("timeout", $0.rawValue))
            })
        page.add(
            "exemplar_received_bytes_total", .counter, "Bytes of requests.", Double(statistics.bytesReceived))
        page.add("exemplar_sent_bytes_total", .counter, "Bytes of replies.", Double(statistics.bytesSent))
    }

    private func addMemory(to page: inout Exposition) {
        page.add(
            "exemplar_memory_limit_bytes", .gauge, "The most memory to plan for: --memory-limit, or the process's own.",
            Double(memory.limit))
        page.add(
            "exemplar_memory_bytes", .gauge, "What is taken of it, by what takes it.",
            [
                .init(Double(memory.models), .init("kind", "models")),
                .init(Double(memory.requests), .init("kind", "requests")),
                .init(Double(memory.waiting), .init("kind", "replies")),
                .init(Double(memory.lines), .init("kind", "lines")),
                .init(Double(memory.passes), .init("kind", "images")),
            ])
        guard let allocator else { return }
        page.add(
            "exemplar_allocator_bytes", .gauge, "What the allocator holds, by jemalloc's names.",
            [
                .init(Double(allocator.allocated), .init("kind", "allocated")),
                .init(Double(allocator.active), .init("kind", "active")),
                .init(Double(allocator.metadata), .init("kind", "metadata")),
                .init(Double(allocator.resident), .init("kind", "resident")),
                .init(Double(allocator.mapped), .init("kind", "mapped")),
                .init(Double(allocator.retained), .init("kind", "retained")),
            ])
    }

    private func addControlGroup(to page: inout Exposition) {
        guard let controlGroup else { return }
        page.add(
            "exemplar_cpu_periods_total", .counter, "Periods of the control group's CPU quota in which it ran.",
            Double(controlGroup.periods))
        page.add(
            "exemplar_cpu_throttled_periods_total", .counter, "Periods in which the CPU quota was used up.",
            Double(controlGroup.throttledPeriods))
        page.add(
            "exemplar_cpu_throttled_seconds_total", .counter, "Time that threads were held up by the CPU quota.",
            controlGroup.throttledSeconds)
    }

    private func addProcess(to page: inout Exposition) {
        guard let process else { return }
        page.add(
            "process_resident_memory_bytes", .gauge, "Resident memory size in bytes.", process.residentBytes)
        page.add("process_virtual_memory_bytes", .gauge, "Virtual memory size in bytes.", process.virtualBytes)
        page.add(
            "process_cpu_seconds_total", .counter, "Total user and system CPU time spent in seconds.",
            process.cpuSeconds)
        page.add("process_threads", .gauge, "Number of OS threads in the process.", process.threads)
        page.add(
            "process_start_time_seconds", .gauge, "Start time of the process since unix epoch in seconds.",
            process.startTime)
        if let count = process.openDescriptors {
            page.add("process_open_fds", .gauge, "Number of open file descriptors.", Double(count))
        }
        if let limit = process.maxDescriptors {
            page.add("process_max_fds", .gauge, "Maximum number of open file descriptors.", Double(limit))
        }
    }
}

extension Exposition {
    /// A histogram of durations, an octave a bucket: finer ones would cost a scrape more than they tell.
    fileprivate mutating func add(_ name: StaticString, _ help: StaticString, _ histogram: Histogram) {
        add(name, help, buckets: histogram.octaves, count: histogram.count, sum: histogram.sum)
    }
}

import ExemplarNetwork
import JSONRPC
import KernelInterface
import Platform

/// Models: loaded at the start and again at every SIGHUP, and swapped in once they have shown that they compute what
/// they should.
extension Server {
    /// Loads the models on a thread of their own; the outcome comes through the outbox. Where that cannot begin now,
    /// `runTimers` does it as soon as it can: once, however often it was asked for.
    func load() {
        wantsReload = isLoading || othersComeFirst
        guard !wantsReload else { return }
        isLoading = true
        let (configuration, outbox, threads) = (configuration, outbox, handler.threads)
        let memory = ModelMemory(budget: memory, passes: passes)
        let isStarted = startThread {
            let result = Result { () throws(ModelError) in
                try ModelSet.load(configuration, threads: threads, memory: memory)
            }
            outbox.post(.models(result))
            // What could not be loaded is freed again.
            memory.passes.capacityGrew()
        }
        if !isStarted { finishLoading(.failure(ModelError("Cannot start a thread to load the models"))) }
    }

    /// Whether the models that the last reload replaced still hold memory, for what was admitted for them, or lines
    /// that waited for memory during it are still to be read: without their turn, reload after reload would keep them
    /// waiting. Nobody who is slow keeps a reload waiting for long.
    private var othersComeFirst: Bool {
        guard let loadEnded, loadEnded.duration(to: .now) < configuration.readTimeout else { return false }
        return retiringCount > 0 || connections.values.contains(where: \.isOwedLine)
    }

    /// Whether `load` was asked for and can be tried again.
    var isReloadDue: Bool { wantsReload && !isLoading && drainDeadline == nil && status == nil }

    /// When a reload that waits begins, whatever it waits for; nil where none waits.
    var nextReload: ContinuousClock.Instant? {
        isReloadDue ? loadEnded.map { $0 + configuration.readTimeout } : nil
    }

    func finishLoading(_ result: Result<ModelSet, ModelError>) {
        isLoading = false
        loadEnded = .now
        switch result {
        case .success(let loaded):
            let isFirst = models == nil
            if let models, models.retire(passes, didFree: { [outbox] in outbox.post(.retired) }) { retiringCount += 1 }
            models = loaded
            memory.serve(loaded.byteCount)
            observer.didLoad(loaded.sorted.map(\.model.description))
            for served in loaded.sorted {
                let description = served.model.description
                log.info(
                    isFirst ? "loaded" : "reloaded",
                    [
                        .init("model", .string(served.name)), .init("sha256", .string(description.sha256)),
                        .init("isa", .string(description.instructionSet.rawValue)),
                        .init("self_test", .string(description.selfTest)),
                    ])
                if description.selfTest == "none" {
                    log.warning(
                        "\(served.name) has no golden.safetensors: nothing shows that it computes what it should")
                }
            }
            logMemory()
            if isFirst {
                for token in [Token.tcp, .unix] {
                    if let listener = listeners[token] { log.announce("listening on \(listener.name)") }
                }
            } else {
                statistics.update { $0.reloads += 1 }
            }
        case .failure(let error):
            guard models != nil else {
                log.error("\(error)")
                status = 1
                return
            }
            statistics.update { $0.failedReloads += 1 }
            log.error("the models were not reloaded, the old ones go on: \(error)")
        }
    }

    private func logMemory() {
        let capacities = memory.settledCapacities
        log.info(
            "memory",
            [
                .init("limit", .int(memory.holdings.limit)), .init("models", .int(models?.byteCount ?? 0)),
                .init("requests", .int(capacities.requests)), .init("images", .int(capacities.passes)),
            ])
        guard capacities.requests < configuration.maxLineBytes else { return }
        log.warning(
            "the models leave \(MemoryLimit.text(capacities.requests)) for requests, less than --max-line-bytes: large "
                + "ones will be refused; give the process more memory, or fewer models or --threads")
    }
}

import ExemplarNetwork
import JSONRPC
import KernelInterface
import Platform

/// Models: loaded at the start and again at every SIGHUP, and swapped in once they have shown that they compute what
/// they should.
extension Server {
    /// Loads the models on a thread of their own; the outcome comes by `news`. Where that cannot begin now,
    /// `runTimers` does it as soon as it can: once, however often it was asked for.
    func load() {
        wantsReload = isLoading || othersComeFirst
        guard !wantsReload else { return }
        isLoading = true
        let shared = shared
        let memory = ModelMemory(budget: shared.memory, passes: shared.passes)
        let isStarted = startThread {
            let result = Result { () throws(ModelError) in
                try ModelSet.load(shared.configuration, threads: shared.handler.threads, memory: memory)
            }
            shared.news.post([.models(result)])
            // What could not be loaded is freed again.
            memory.passes.capacityGrew()
        }
        if !isStarted { finishLoading(.failure(ModelError("Cannot start a thread to load the models"))) }
    }

    /// Whether the models that the last reload replaced still hold memory, for what was admitted for them, or lines
    /// that waited for memory during it are still to be read: without their turn, reload after reload would keep them
    /// waiting. Nobody who is slow keeps a reload waiting for long.
    private var othersComeFirst: Bool {
        guard let loadEnded, loadEnded.duration(to: .now) < shared.configuration.readTimeout else { return false }
        return retiringCount > 0 || shared.loops.contains { $0.owedLines.current > 0 }
    }

    /// Whether `load` was asked for and can be tried again.
    var isReloadDue: Bool { wantsReload && !isLoading && drainDeadline == nil && status == nil }

    /// When a reload that waits begins, whatever it waits for; nil where none waits.
    var nextReload: ContinuousClock.Instant? {
        isReloadDue ? loadEnded.map { $0 + shared.configuration.readTimeout } : nil
    }

    func finishLoading(_ result: Result<ModelSet, ModelError>) {
        isLoading = false
        loadEnded = .now
        switch result {
        case .success(let loaded):
            let isFirst = models == nil
            serve(loaded)
            for served in loaded.sorted {
                let description = served.model.description
                shared.log.info(
                    isFirst ? "loaded" : "reloaded",
                    [
                        .init("model", .string(served.name)), .init("sha256", .string(description.sha256)),
                        .init("isa", .string(description.instructionSet.rawValue)),
                        .init("self_test", .string(description.selfTest)),
                    ])
                if description.selfTest == "none" {
                    shared.log.warning(
                        "\(served.name) has no golden.safetensors with outputs: nothing shows that it computes rightly"
                    )
                }
            }
            logMemory()
            if isFirst {
                for token in [Token.tcp, .unix] {
                    if let listener = listeners[token] { shared.log.announce("listening on \(listener.name)") }
                }
            } else {
                shared.statistics.update { $0.reloads += 1 }
            }
        case .failure(let error):
            guard models != nil else {
                shared.log.error("\(error)")
                status = 1
                return
            }
            shared.statistics.update { $0.failedReloads += 1 }
            shared.log.error("the models were not reloaded, the old ones go on: \(error)")
        }
    }

    /// Puts models in the place of those that serve.
    private func serve(_ loaded: ModelSet) {
        for gone in models?.sorted ?? [] where loaded[gone.name] == nil {
            shared.log.warning("\(gone.name) is no longer among the models", [.init("model", .string(gone.name))])
        }
        models = loaded
        let replaced = shared.models.replace(with: loaded)
        order(.refreshModels)
        if let replaced, replaced.retire(shared.passes, didFree: { [news = shared.news] in news.post([.retired]) }) {
            retiringCount += 1
        }
        shared.memory.serve(loaded.byteCount)
        shared.observer.didLoad(loaded.sorted.map(\.model.description))
    }

    private func logMemory() {
        let capacities = shared.memory.settledCapacities
        shared.log.info(
            "memory",
            [
                .init("limit", .int(shared.memory.holdings.limit)), .init("models", .int(models?.byteCount ?? 0)),
                .init("requests", .int(capacities.requests)), .init("images", .int(capacities.passes)),
            ])
        guard capacities.requests < shared.configuration.maxLineBytes else { return }
        shared.log.warning(
            "the models leave \(MemoryLimit.text(capacities.requests)) for requests, less than --max-line-bytes: large "
                + "ones will be refused; give the process more memory, or fewer models or --threads")
    }
}

import ExemplarNetwork
import JSONRPC

/// From the parameters of `embed`, `classify` and `transform` to tasks; what could never be served is refused here.
extension RequestHandler {
    func embedTask(
        _ request: EmbedRequest, _ served: ServedModel, _ arrival: Arrival
    ) throws(ResponseError) -> Outcome {
        var selection = try selection(request.layers, served.model)
        selection.pooling = Pooling(request.pool)
        let draws = try draws(request.transform, served.model)
        let dimension = served.model.dimension(of: selection)
        let rowBytes = EmbeddingResult.rowByteCount(dimension: dimension, encoding: request.encoding)
        let names = served.model.names(of: selection).reduce(0) { $0 + ByteBuffer.byteCount(ofJSONString: $1) + 1 }
        return try task(
            Work(
                arrival: arrival, served: served, selection: selection,
                answer: .embeddings(request.encoding, request.normalize), draws: draws,
                rowBytes: rowBytes + Work.errorBytes(draws, dimension, request.encoding), nameBytes: names,
                scratchBytes: dimension * MemoryLayout<Float>.stride, takesLargerInputs: selection.pooling != .none),
            request.inputs, deadline: request.deadline)
    }

    func classifyTask(
        _ request: ClassifyRequest, _ served: ServedModel, _ arrival: Arrival
    ) throws(ResponseError) -> Outcome {
        guard let head = served.model.configuration.head, let selection = served.model.selection(of: [head]) else {
            throw ResponseError(
                .notSupported, "\(served.name) has no head, so it does not know any exemplars; use the method embed.")
        }
        let draws = try draws(request.transform, served.model)
        let dimension = served.model.dimension(of: selection)
        let top = min(request.top, dimension)
        // An index, two numbers and the names of the members take 121 bytes at most.
        let rowBytes = top * 128 + served.labelByteCount(top) + 3
        return try task(
            Work(
                arrival: arrival, served: served, selection: selection, answer: .classes(top: top), draws: draws,
                rowBytes: rowBytes + Work.errorBytes(draws, dimension, .base64), nameBytes: 0,
                // One row's posterior: a heap, its elements in order, and the entries made of them.
                scratchBytes: max(top * 64, dimension * MemoryLayout<Float>.stride), takesLargerInputs: false),
            request.inputs, deadline: request.deadline)
    }

    func transformTask(
        _ request: TransformRequest, _ served: ServedModel, _ arrival: Arrival
    ) throws(ResponseError) -> Outcome {
        let draws = try Draws(request.transform, of: served.model, limit: configuration.queue)
        return try task(
            Work(
                arrival: arrival, served: served, selection: served.model.embeddingOnly, answer: .pixels, draws: draws,
                rowBytes: draws.count * (Base64.encodedCount(served.model.configuration.input.count) + 3) + 3,
                nameBytes: 0, scratchBytes: 0, takesLargerInputs: true),
            request.inputs, deadline: request.deadline)
    }

    private func draws(_ options: TransformOptions?, _ model: Model) throws(ResponseError) -> Draws? {
        guard let options else { return nil }
        return try Draws(options, of: model, limit: configuration.queue)
    }

    private func task(_ work: Work, _ inputs: InputEntries, deadline: Duration?) throws(ResponseError) -> Outcome {
        let time = deadline.map { work.arrival.time + $0 }
        switch inputs.kind {
        case .patches(let type, let shape):
            return .work(try patchTask(work, inputs.entries, type, try self.shape(shape, work)), deadline: time)
        case .images: return .images(try imageOrder(work, inputs.entries, deadline: time))
        }
    }

    private func patchTask(
        _ work: Work, _ entries: [EncodedString], _ type: InputEntries.ElementType, _ shape: InputEntries.Shape
    ) throws(ResponseError) -> InferenceTask {
        try InputBlock.checkLengths(entries, type: type, shape: shape)
        let entry = InputBlock.Entry(height: shape.height, width: shape.width)
        let units = entries.count * InferenceTask.units(of: entry, draws: work.draws, model: work.served.model)
        try checkFit(work, entries.count, units: units, "patches")
        // Before anything is decoded: under overload most requests are refused, and what they take the others lack.
        if let retryAfter = refusal(units, runsInPieces([entry], work), work.connection) {
            throw overloaded(retryAfter: retryAfter)
        }
        // Last: to plan the network for a shape costs thousands of times what to claim one does.
        let passByteCount = try passByteCounts([entry], work, "shape").first
        let byteCount = entries.count * shape.height * shape.width * shape.channels * type.byteCount
        let lease = try lease(work.byteCount(entries.count, inputs: byteCount, units: units), "patches")
        let block = try InputBlock(entries, type: type, shape: shape)
        let passByteCounts = passByteCount.map { Array(repeating: $0, count: block.entries.count) } ?? []
        return work.task(block, passByteCounts: passByteCounts, lease)
    }

    private func imageOrder(
        _ work: Work, _ entries: [EncodedString], deadline: ContinuousClock.Instant?
    ) throws(ResponseError) -> ImageOrder {
        // Without draws only the headers will tell whether an image is a patch or larger: one that has no room as
        // either has none.
        let least = entries.count * (work.draws?.count ?? 1)
        try checkFit(work, entries.count, units: least, "images")
        let address = work.arrival.address
        let byteCount = entries.reduce(ImageOrder.ownByteCount + address.id.json.count) {
            $0 + ImageOrder.fileByteCount + $1.base64Capacity
        }
        guard byteCount <= ImageDecoding.capacity else {
            throw .invalidParameter(
                "images",
                "The files have \(byteCount) bytes together, more than the \(ImageDecoding.capacity) that may wait "
                    + "to be decoded: send fewer at a time.")
        }
        // As for patches.
        if let retryAfter = refusal(least, work.draws == nil ? nil : false, work.connection) {
            throw overloaded(retryAfter: retryAfter)
        }
        let fileLease = try lease(byteCount, "images")
        let patch = work.served.model.configuration.input
        let (limit, handler) = (configuration.queue, self)
        return ImageOrder(
            origin: .init(
                address: address, deadline: deadline, replyByteCount: work.replyByteCount(entries.count)),
            model: work.served.model, files: try files(entries), lease: fileLease,
            maximumPixels: configuration.maxPixels,
            // Of contexts the queue counts the draws; what their pixels take, the memory for requests.
            totalPixels: work.draws == nil ? limit * patch.height * patch.width : nil,
            byteCount: byteCount
        ) { sizes throws(ResponseError) in
            for entry in sizes.entries { try handler.checkSize(entry, work, "images") }
            let units = sizes.entries.reduce(0) {
                $0 + InferenceTask.units(of: $1, draws: work.draws, model: work.served.model)
            }
            guard units <= limit else { throw handler.tooMuch(units, "images") }
            // Nor is decoded what would be refused afterwards.
            if let retryAfter = handler.refusal(units, handler.runsInPieces(sizes.entries, work), work.connection) {
                throw handler.overloaded(retryAfter: retryAfter)
            }
            let passByteCounts = try handler.passByteCounts(sizes.entries, work, "images")
            let taken = work.byteCount(sizes.entries.count, inputs: sizes.pixels, units: units)
            let lease = try handler.lease(taken + sizes.decoding, beside: byteCount, "images")
            return { block in
                handler.memory.shrink(lease, to: taken)
                return work.task(block, passByteCounts: passByteCounts, lease)
            }
        }
    }

    /// The shape of every entry of `patches`.
    private func shape(_ given: InputEntries.Shape?, _ work: Work) throws(ResponseError) -> InputEntries.Shape {
        let patch = work.served.model.configuration.input
        let own = InputEntries.Shape(height: patch.height, width: patch.width, channels: patch.channels)
        guard let given, given != own else { return own }
        guard given.channels == own.channels else {
            throw .invalidParameter(
                "shape", "\(work.served.name) takes \(own.channels) channels, not \(given.channels).")
        }
        guard given.height >= own.height, given.width >= own.width else {
            throw .invalidParameter(
                "shape", "\(given.height) x \(given.width) is smaller than the patch, \(own.height) x \(own.width).")
        }
        guard given.height * given.width <= configuration.maxPixels else {
            throw .invalidParameter(
                "shape",
                "\(given.height) x \(given.width) is more than \(configuration.maxPixels) pixels: send parts, or raise "
                    + "the server's --max-pixels.")
        }
        let entry = InputBlock.Entry(height: given.height, width: given.width)
        try checkSize(entry, work, "shape")
        return given
    }

    /// Whether an input of this size makes sense for this request.
    private func checkSize(_ entry: InputBlock.Entry, _ work: Work, _ parameter: String) throws(ResponseError) {
        let patch = work.served.model.configuration.input
        guard entry.height != patch.height || entry.width != patch.width, work.draws == nil, !work.takesLargerInputs
        else {
            return
        }
        let size = "\(entry.height) x \(entry.width), larger than the patch of \(patch.height) x \(patch.width)"
        if case .classes = work.answer {
            throw .invalidParameter(
                parameter, "An input is \(size): classify takes patches, or contexts together with `transform`.")
        }
        throw .invalidParameter(
            "pool",
            "An input is \(size): choose a `pool` other than \"none\", so that vectors have one size, or give a "
                + "`transform`, for which it is the context.")
    }

    private func files(_ entries: [EncodedString]) throws(ResponseError) -> [[UInt8]] {
        var files: [[UInt8]] = []
        for (index, entry) in entries.enumerated() {
            var file = [UInt8](repeating: 0, count: entry.base64Capacity)
            let result = file.withUnsafeMutableBytes { room in
                Result { () throws(Base64Error) in try entry.decodeBase64(into: room) }
            }
            switch result {
            case .success(let count): file.removeLast(file.count - count)
            case .failure(let error):
                throw .invalidParameter("images", "Entry \(index) of `images` \(error.explanation).")
            }
            files.append(file)
        }
        return files
    }

    private func selection(_ layers: EmbedRequest.Layers, _ model: Model) throws(ResponseError) -> LayerSelection {
        switch layers {
        case .embedding: return model.embeddingOnly
        case .all: return model.allLayers
        case .named(let names):
            if let selection = model.selection(of: names) { return selection }
            let (wrong, known) = model.unknownLayer(among: names)
            throw ResponseError(
                .unknownName,
                "\(model.configuration.name) has no convolution or linear layer \(wrong.excerpt); it has "
                    + "\(known.joined(separator: ", ")).")
        }
    }
}

extension Pooling {
    fileprivate init(_ pool: EmbedRequest.Pool) {
        self =
            switch pool {
            case .none: .none
            case .quadrant: .quadrant
            case .max: .max
            case .mean: .mean
            }
    }
}

import ExemplarNetwork
import JSONRPC

/// From the parameters of `embed`, `classify` and `transform` to tasks; what could never be served is refused here.
extension RequestHandler {
    func outcome(
        of request: EmbedRequest, _ served: ServedModel, _ address: ReplyAddress, _ arrival: ContinuousClock.Instant
    ) throws(ResponseError) -> Outcome {
        var selection = try selection(request.layers, served.model)
        selection.pooling = Pooling(request.pool)
        let draws = try request.transform.map { options throws(ResponseError) in
            try Draws(options, of: served.model, limit: configuration.queue)
        }
        let dimension = served.model.dimension(of: selection)
        let rowBytes = EmbeddingResult.rowByteCount(dimension: dimension, encoding: request.encoding)
        let names = served.model.names(of: selection).reduce(0) { $0 + ByteBuffer.byteCount(ofJSONString: $1) + 1 }
        return try outcome(
            Work(
                served: served, selection: selection, answer: .embeddings(request.encoding, request.normalize),
                draws: draws, rowBytes: rowBytes + errorBytes(draws, dimension, request.encoding), nameBytes: names,
                scratchBytes: dimension * MemoryLayout<Float>.stride, takesLargerInputs: selection.pooling != .none),
            request.inputs, deadline: request.deadline, address, arrival)
    }

    func outcome(
        of request: ClassifyRequest, _ served: ServedModel, _ address: ReplyAddress, _ arrival: ContinuousClock.Instant
    ) throws(ResponseError) -> Outcome {
        guard let head = served.model.configuration.head, let selection = served.model.selection(of: [head]) else {
            throw ResponseError(
                .notSupported, "\(served.name) has no head, so it does not know any exemplars; use the method embed.")
        }
        let draws = try request.transform.map { options throws(ResponseError) in
            try Draws(options, of: served.model, limit: configuration.queue)
        }
        let dimension = served.model.dimension(of: selection)
        let top = min(request.top, dimension)
        // An index, two numbers and the names of the members take 121 bytes at most.
        let rowBytes = top * 128 + served.labelByteCount(top) + 3
        return try outcome(
            Work(
                served: served, selection: selection, answer: .classes(top: top), draws: draws,
                rowBytes: rowBytes + errorBytes(draws, dimension, .base64), nameBytes: 0,
                // One row's posterior: a heap, its elements in order, and the entries made of them.
                scratchBytes: max(top * 64, dimension * MemoryLayout<Float>.stride), takesLargerInputs: false),
            request.inputs, deadline: request.deadline, address, arrival)
    }

    /// At most how many bytes `transform.standard_errors` has for each input.
    private func errorBytes(_ draws: Draws?, _ dimension: Int, _ encoding: EmbedRequest.Encoding) -> Int {
        guard draws?.wantsStandardErrors == true else { return 0 }
        // Floats as doubles are written: with up to 16 digits before the point.
        return encoding == .base64 ? Base64.encodedCount(dimension * 4) + 3 : dimension * 20 + 3
    }

    func outcome(
        of request: TransformRequest, _ served: ServedModel, _ address: ReplyAddress, _ arrival: ContinuousClock.Instant
    ) throws(ResponseError) -> Outcome {
        let draws = try Draws(request.transform, of: served.model, limit: configuration.queue)
        return try outcome(
            Work(
                served: served, selection: served.model.embeddingOnly, answer: .patches, draws: draws,
                rowBytes: draws.count * (Base64.encodedCount(served.model.configuration.input.count) + 3) + 3,
                nameBytes: 0, scratchBytes: 0, takesLargerInputs: true),
            request.inputs, deadline: request.deadline, address, arrival)
    }

    /// What the three methods have in common.
    private struct Work: Sendable {
        let served: ServedModel
        let selection: LayerSelection
        let answer: InferenceTask.Answer
        let draws: Draws?
        /// Of one input's part of the reply, at most.
        let rowBytes: Int
        /// Of the layers' names in it.
        let nameBytes: Int
        /// What writing it takes beside it.
        let scratchBytes: Int
        /// Whether inputs may be larger than the patch without being contexts.
        let takesLargerInputs: Bool

        func replyByteCount(_ count: Int, _ address: ReplyAddress) -> Int {
            // α in full takes some 400 bytes; how many draws an input had, and their standard error, 46.
            let parameters = if case .patches = answer { draws?.count ?? 0 } else { 0 }
            let names = ByteBuffer.byteCount(ofJSONString: served.name) + nameBytes
            return 512 + address.id.json.count + names + count * (rowBytes + (draws == nil ? 0 : 48)) + parameters * 512
        }

        func task(
            _ inputs: InputBlock, passByteCounts: [Int], _ address: ReplyAddress, _ arrival: ContinuousClock.Instant,
            _ lease: MemoryBudget.Lease
        ) -> InferenceTask {
            InferenceTask(
                address: address, served: served, selection: selection, answer: answer, draws: draws, arrival: arrival,
                inputs: inputs, passByteCounts: passByteCounts,
                replyByteCount: replyByteCount(inputs.entries.count, address), lease: lease)
        }
    }

    private func outcome(
        _ work: Work, _ inputs: InputEntries, deadline: Duration?, _ address: ReplyAddress,
        _ arrival: ContinuousClock.Instant
    ) throws(ResponseError) -> Outcome {
        let time = deadline.map { arrival + $0 }
        switch inputs.kind {
        case .patches(let type, let given):
            let shape = try shape(given, work)
            // First of all: to plan the network for a shape costs thousands of times what to claim one does.
            try InputBlock.checkLengths(inputs.entries, type: type, shape: shape)
            let entry = InputBlock.Entry(height: shape.height, width: shape.width)
            let passByteCount = try passByteCounts([entry], work, "shape").first
            let units = InferenceTask.units(of: entry, draws: work.draws, model: work.served.model)
            try checkFit(work, inputs.entries.count, units: units, address, "patches")
            // Before anything is decoded: under overload most requests are refused, and what they take the others lack.
            if let retryAfter = refusal(inputs.entries.count * units, passByteCount != nil) {
                throw overloaded(retryAfter: retryAfter)
            }
            let byteCount = inputs.entries.count * shape.height * shape.width * shape.channels * type.byteCount
            let taken = self.byteCount(
                work, inputs.entries.count, inputs: byteCount, units: inputs.entries.count * units, address)
            let lease = try lease(taken, "patches")
            let block = try InputBlock(inputs.entries, type: type, shape: shape)
            let passByteCounts = passByteCount.map { Array(repeating: $0, count: block.entries.count) } ?? []
            return .work(
                work.task(block, passByteCounts: passByteCounts, address, arrival, lease), deadline: time)
        case .images:
            try checkFit(work, inputs.entries.count, units: work.draws?.count ?? 1, address, "images")
            let patch = work.served.model.configuration.input
            let (limit, handler) = (configuration.queue, self)
            let byteCount = inputs.entries.reduce(ImageOrder.ownByteCount + address.id.json.count) {
                $0 + ImageOrder.fileByteCount + $1.base64Capacity
            }
            guard byteCount <= ImageDecoding.capacity else {
                throw .invalidParameter(
                    "images",
                    "The files have \(byteCount) bytes together, more than the \(ImageDecoding.capacity) that may wait "
                        + "to be decoded: send fewer at a time.")
            }
            // As for patches. Without draws only the headers will tell whether an image is a patch or larger: one that
            // has no room as either has none.
            let least = inputs.entries.count * (work.draws?.count ?? 1)
            if let retryAfter = refusal(least, false), work.draws != nil || refusal(least, true) != nil {
                throw overloaded(retryAfter: retryAfter)
            }
            let fileLease = try lease(byteCount, "images")
            return .images(
                ImageOrder(
                    address: address, model: work.served.model, files: try files(inputs.entries), lease: fileLease,
                    maximumPixels: configuration.maxPixels,
                    // Of contexts the queue counts the draws; what their pixels take, the memory for requests.
                    totalPixels: work.draws == nil ? limit * patch.height * patch.width : nil,
                    deadline: time, byteCount: byteCount
                ) { sizes throws(ResponseError) in
                    for entry in sizes.entries { try handler.checkSize(entry, work, "images") }
                    let passByteCounts = try handler.passByteCounts(sizes.entries, work, "images")
                    let units = sizes.entries.reduce(0) {
                        $0 + InferenceTask.units(of: $1, draws: work.draws, model: work.served.model)
                    }
                    guard units <= limit else { throw handler.tooMuch(units, "images") }
                    // Nor is decoded what would be refused afterwards.
                    if let retryAfter = handler.refusal(units, !passByteCounts.isEmpty) {
                        throw handler.overloaded(retryAfter: retryAfter)
                    }
                    let taken = handler.byteCount(
                        work, sizes.entries.count, inputs: sizes.pixels, units: units, address)
                    let lease = try handler.lease(taken + sizes.decoding, beside: byteCount, "images")
                    return { block in
                        handler.memory.shrink(lease, to: taken)
                        return work.task(block, passByteCounts: passByteCounts, address, arrival, lease)
                    }
                })
        }
    }

    /// The memory that a task and its reply take.
    ///
    /// - Parameters:
    ///   - count: patches or images.
    ///   - units: of all of them together.
    private func byteCount(_ work: Work, _ count: Int, inputs: Int, units: Int, _ address: ReplyAddress) -> Int {
        let dimension = work.served.model.dimension(of: work.selection)
        var values = count * dimension * MemoryLayout<Float>.stride
        if let draws = work.draws, draws.count > 1 {
            // A mean and a sum of squares in double precision, and rows that come before their turn.
            values += count * dimension * 2 * MemoryLayout<Double>.stride
            values += min(units, work.served.lead) * dimension * MemoryLayout<Float>.stride
        }
        if case .patches = work.answer { values = units * work.served.model.configuration.input.count }
        let beside = work.scratchBytes + (work.draws?.byteCount ?? 0) + address.id.json.count
        return inputs + values + work.replyByteCount(count, address) + beside
    }

    /// - Parameter held: bytes that the request holds already.
    private func lease(
        _ byteCount: Int, beside held: Int = 0, _ parameter: String
    ) throws(ResponseError) -> MemoryBudget.Lease {
        let capacity = memory.settledCapacities.requests
        guard byteCount + held <= capacity else {
            throw .invalidParameter(
                parameter,
                "The request would take \(byteCount + held) bytes of memory, more than the \(capacity) that there are "
                    + "for all: send less at a time, or give the server more memory.")
        }
        if let lease = memory.take(byteCount) { return lease }
        throw .overloaded(.milliseconds(100)) {
            "Requests and replies take all the memory that they may; try again in \($0) ms."
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

    /// What the network's maps of each input take, where it runs over one that is no patch; else nothing.
    private func passByteCounts(
        _ entries: [InputBlock.Entry], _ work: Work, _ parameter: String
    ) throws(ResponseError) -> [Int] {
        let patch = work.served.model.configuration.input
        guard work.draws == nil, entries.contains(where: { $0.height != patch.height || $0.width != patch.width })
        else { return [] }
        var counts: [Int] = []
        for entry in entries { counts.append(try passByteCount(entry, work, parameter)) }
        return counts
    }

    /// - Throws: for an image over which the network could never run: its maps take more memory than all passes may.
    private func passByteCount(
        _ entry: InputBlock.Entry, _ work: Work, _ parameter: String
    ) throws(ResponseError) -> Int {
        let byteCount: Int
        do throws(ModelError) {
            byteCount = try work.served.imageByteCount(height: entry.height, width: entry.width)
        } catch {
            throw .invalidParameter(parameter, error.description)
        }
        guard byteCount > memory.capacities.passes else { return byteCount }
        let capacity = memory.settledCapacities.passes
        guard byteCount > capacity else {
            throw .overloaded(.seconds(1)) {
                "While models are being replaced there is no memory for this image; try again in \($0) ms."
            }
        }
        throw .invalidParameter(
            parameter,
            "The network's maps of an input of \(entry.height) x \(entry.width) take \(MemoryLimit.text(byteCount)), "
                + "more than the \(MemoryLimit.text(capacity)) that this server has for images: send smaller parts, or "
                + "give it more memory.")
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

    /// Refuses what could never be served: more work than the queue holds, a reply longer than replies may be.
    private func checkFit(
        _ work: Work, _ count: Int, units: Int, _ address: ReplyAddress, _ parameter: String
    ) throws(ResponseError) {
        guard count * units <= configuration.queue else { throw tooMuch(count * units, parameter) }
        let size = work.replyByteCount(count, address)
        guard size <= configuration.maxReplyBytes else {
            throw .invalidParameter(
                parameter,
                "The reply would have up to \(size) bytes, more than \(configuration.maxReplyBytes): ask for fewer "
                    + "patches or layers at a time, or raise the server's --max-reply-bytes.")
        }
    }

    private func tooMuch(_ units: Int, _ parameter: String) -> ResponseError {
        .invalidParameter(
            parameter,
            "This is the work of \(units) patches, counting draws and the areas of larger images, more than the queue "
                + "ever holds, \(configuration.queue): split the request, or raise the server's --queue.")
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

import Batching
import ExemplarNetwork
import JSONRPC

/// When a request came, and where its reply goes.
struct Arrival: Sendable {
    let address: ReplyAddress
    let time: ContinuousClock.Instant
}

/// What is to be computed of a request's inputs, and how many bytes that takes.
struct Work: Sendable {
    let arrival: Arrival
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

    var connection: ConnectionID { arrival.address.connection }

    /// Of the reply to `count` inputs, at most.
    func replyByteCount(_ count: Int) -> Int {
        // α in full takes some 400 bytes; how many draws an input had, and their standard error, 46.
        let parameters = if case .pixels = answer { draws?.count ?? 0 } else { 0 }
        let names = ByteBuffer.byteCount(ofJSONString: served.name) + nameBytes
        let rows = count * (rowBytes + (draws == nil ? 0 : 48))
        return 512 + arrival.address.id.json.count + names + rows + parameters * 512
    }

    /// The memory that a task and its reply take.
    ///
    /// - Parameters:
    ///   - count: patches or images.
    ///   - units: of all of them together.
    func byteCount(_ count: Int, inputs: Int, units: Int) -> Int {
        let dimension = served.model.dimension(of: selection)
        var values = count * dimension * MemoryLayout<Float>.stride
        if let draws, draws.count > 1 {
            // A mean and a sum of squares in double precision, and rows that come before their turn.
            values += count * dimension * 2 * MemoryLayout<Double>.stride
            values += min(units, served.lead) * dimension * MemoryLayout<Float>.stride
        }
        if case .pixels = answer { values = units * served.model.configuration.input.count }
        let beside = scratchBytes + (draws?.byteCount ?? 0) + arrival.address.id.json.count
        return inputs + values + replyByteCount(count) + beside
    }

    func task(_ inputs: InputBlock, passByteCounts: [Int], _ lease: MemoryBudget.Lease) -> InferenceTask {
        InferenceTask(
            address: arrival.address, served: served, selection: selection, answer: answer, draws: draws,
            arrival: arrival.time, inputs: inputs, passByteCounts: passByteCounts,
            replyByteCount: replyByteCount(inputs.entries.count), lease: lease)
    }

    /// At most how many bytes `transform.standard_errors` has for each input.
    static func errorBytes(_ draws: Draws?, _ dimension: Int, _ encoding: EmbedRequest.Encoding) -> Int {
        guard draws?.wantsStandardErrors == true else { return 0 }
        // Floats as doubles are written: with up to 16 digits before the point.
        return encoding == .base64 ? Base64.encodedCount(dimension * 4) + 3 : dimension * 20 + 3
    }
}

/// What a request may take: of the queue, of a reply, of memory.
extension RequestHandler {
    /// Refuses what could never be served: more work than the queue holds, a reply longer than replies may be.
    ///
    /// - Parameter units: of all `count` inputs together.
    func checkFit(_ work: Work, _ count: Int, units: Int, _ parameter: String) throws(ResponseError) {
        guard units <= configuration.queue else { throw tooMuch(units, parameter) }
        let size = work.replyByteCount(count)
        guard size <= configuration.maxReplyBytes else {
            throw .invalidParameter(
                parameter,
                "The reply would have up to \(size) bytes, more than \(configuration.maxReplyBytes): ask for fewer "
                    + "patches or layers at a time, or raise the server's --max-reply-bytes.")
        }
    }

    func tooMuch(_ units: Int, _ parameter: String) -> ResponseError {
        .invalidParameter(
            parameter,
            "This is the work of \(units) patches, counting draws and the areas of larger images, more than the queue "
                + "ever holds, \(configuration.queue): split the request, or raise the server's --queue.")
    }

    /// Takes memory for a request.
    ///
    /// - Parameter held: bytes that the request holds already.
    func lease(
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

    /// Whether the network runs over an input that is no patch.
    func runsInPieces(_ entries: [InputBlock.Entry], _ work: Work) -> Bool {
        let patch = work.served.model.configuration.input
        return work.draws == nil && entries.contains { $0.height != patch.height || $0.width != patch.width }
    }

    /// What the network's maps of each input take, where it runs over one that is no patch; else nothing.
    func passByteCounts(
        _ entries: [InputBlock.Entry], _ work: Work, _ parameter: String
    ) throws(ResponseError) -> [Int] {
        guard runsInPieces(entries, work) else { return [] }
        var counts: [Int] = []
        for (index, entry) in entries.enumerated() {
            // Images of one request are mostly alike.
            if index > 0, entry.height == entries[index - 1].height, entry.width == entries[index - 1].width {
                counts.append(counts[index - 1])
            } else {
                counts.append(try passByteCount(entry, work, parameter))
            }
        }
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
}

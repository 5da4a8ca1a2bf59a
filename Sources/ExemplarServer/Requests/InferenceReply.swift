import ExemplarNetwork
import JSONRPC
import Transformations

/// From what workers computed to the reply, which is written into a buffer of the size reserved for it: nothing as long
/// as the reply is held beside it.
extension InferenceTask {
    /// The reply, once every unit is computed, and its code where it is an error.
    func reply() -> (reply: ByteBuffer, error: ErrorCode?) {
        if let failure {
            var buffer = ByteBuffer()
            address.write(.failure(failure), to: &buffer)
            return (buffer, failure.code)
        }
        var buffer = ByteBuffer(capacity: replyByteCount)
        address.write(content(), to: &buffer)
        assert(buffer.count <= replyByteCount, "a reply is longer than what was reserved for it")
        return (buffer, nil)
    }

    private func content() -> Response.Content {
        for (index, average) in averages.enumerated() {
            for offset in 0..<dimension { rows[index * dimension + offset] = average.moments.mean(offset) }
        }
        switch answer {
        case .embeddings(let encoding, let normalize):
            if normalize == .l2 { normalizeRows(rows, dimension: dimension) }
            return .embeddings(
                EmbeddingResult(
                    model: served.name, layers: served.model.names(of: selection), dimension: dimension,
                    encoding: encoding, values: UnsafeBufferPointer(rows),
                    transform: draws.map { draws in { self.write(draws, encoding, to: &$0) } }))
        case .classes(let top): return .written { self.writeClasses(top: top, to: &$0) }
        case .pixels: return .written { self.writePatches(to: &$0) }
        }
    }

    // MARK: Transformations

    /// The member `transform`.
    private func write(_ draws: Draws, _ encoding: EmbedRequest.Encoding, to buffer: inout ByteBuffer) {
        buffer.append("{\"mode\":")
        buffer.append(jsonString: draws.mode)
        buffer.append(",\"seed\":")
        buffer.append(json: draws.seed.map(JSONValue.int) ?? .null)
        buffer.append(",\"samples\":")
        buffer.append(jsonArrayOf: inputs.entries.indices) { buffer, index in
            buffer.append(json: .int(averages.isEmpty ? draws.count : averages[index].moments.count))
        }
        buffer.append(",\"standard_error\":")
        buffer.append(jsonArrayOf: inputs.entries.indices) { buffer, index in
            let error = averages.isEmpty ? nil : averages[index].moments.standardError
            buffer.append(json: error.map(JSONValue.double) ?? .null)
        }
        if draws.wantsStandardErrors {
            buffer.append(",\"standard_errors\":")
            buffer.append(jsonArrayOf: inputs.entries.indices) { buffer, index in
                writeStandardErrors(index, encoding, to: &buffer)
            }
        }
        buffer.append("}")
    }

    private func writeStandardErrors(_ index: Int, _ encoding: EmbedRequest.Encoding, to buffer: inout ByteBuffer) {
        guard !averages.isEmpty, averages[index].moments.count > 1 else {
            buffer.append("null")
            return
        }
        let moments = averages[index].moments
        switch encoding {
        case .float:
            buffer.append(jsonArrayOf: 0..<dimension) { buffer, offset in
                // The fewest digits that parse back to the same float32.
                let value = moments.standardError(offset)
                buffer.append(jsonNumber: Double(value.description) ?? Double(value))
            }
        case .base64:
            let values = (0..<dimension).map { moments.standardError($0).bitPattern.littleEndian }
            values.withUnsafeBytes { buffer.append(jsonBase64: $0) }
        }
    }

    // MARK: The methods `classify` and `transform`

    private func writeClasses(top: Int, to buffer: inout ByteBuffer) {
        let labels = served.model.labels
        buffer.append("{\"model\":")
        buffer.append(jsonString: served.name)
        buffer.append(",\"classes\":")
        buffer.append(jsonArrayOf: inputs.entries.indices) { buffer, index in
            let logits = UnsafeBufferPointer(rebasing: rows[index * dimension..<(index + 1) * dimension])
            buffer.append(jsonArrayOf: Posterior(logits: logits, count: top).entries) { buffer, entry in
                buffer.append("{\"index\":")
                buffer.append(utf8: entry.index.description)
                buffer.append(",\"probability\":")
                buffer.append(jsonNumber: entry.probability)
                buffer.append(",\"log_probability\":")
                buffer.append(jsonNumber: entry.logProbability)
                if let labels {
                    buffer.append(",\"label\":")
                    buffer.append(jsonString: labels[entry.index])
                }
                buffer.append("}")
            }
        }
        if let draws {
            buffer.append(",\"transform\":")
            write(draws, .base64, to: &buffer)
        }
        buffer.append("}")
    }

    private func writePatches(to buffer: inout ByteBuffer) {
        guard let draws else {
            buffer.append("null")
            return
        }
        let byteCount = served.model.configuration.input.count
        buffer.append("{\"patches\":")
        buffer.append(jsonArrayOf: inputs.entries.indices) { buffer, index in
            buffer.append(jsonArrayOf: 0..<draws.count) { buffer, draw in
                let start = (index * draws.count + draw) * byteCount
                buffer.append(
                    jsonBase64: UnsafeRawBufferPointer(
                        rebasing: UnsafeRawBufferPointer(pixels)[start..<start + byteCount]))
            }
        }
        buffer.append(",\"parameters\":")
        buffer.append(jsonArrayOf: draws.transformations) { $0.append(json: $1.json) }
        buffer.append(",\"seed\":")
        buffer.append(json: draws.seed.map(JSONValue.int) ?? .null)
        buffer.append("}")
    }
}

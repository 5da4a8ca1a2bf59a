/// The header's rules, each with its sentence.
enum SafetensorsHeader {
    static func parse(
        _ bytes: UnsafeRawBufferPointer
    ) throws(SafetensorsError) -> (tensors: [String: SafetensorsFile.Tensor], metadata: [String: String]) {
        guard bytes.count >= 8 else { throw SafetensorsError("is shorter than a header's length: truncated?") }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= SafetensorsFile.maximumHeaderLength else {
            throw SafetensorsError(
                "says that its header has \(length) bytes; at most \(SafetensorsFile.maximumHeaderLength) are read: "
                    + "not safetensors?")
        }
        let start = 8 + Int(length)
        guard start <= bytes.count else {
            throw SafetensorsError("ends inside its header of \(length) bytes: truncated?")
        }
        let document: JSONValue
        do {
            document = try JSONValue.parse(UnsafeRawBufferPointer(rebasing: bytes[8..<start]))
        } catch {
            throw SafetensorsError("its header \(error)")
        }
        guard case .object(var members) = document else {
            throw SafetensorsError("its header is not a JSON object")
        }
        let metadata = try metadata(members.removeValue(forKey: "__metadata__"))
        var tensors: [String: SafetensorsFile.Tensor] = [:]
        for (name, member) in members {
            tensors[name] = try tensor(name, member, dataStart: start, fileEnd: bytes.count)
        }
        var end = start
        for (name, tensor) in tensors.sorted(by: {
            ($0.value.range.lowerBound, $0.value.range.upperBound)
                < ($1.value.range.lowerBound, $1.value.range.upperBound)
        }) {
            guard tensor.range.lowerBound == end else {
                throw SafetensorsError(
                    "the tensor \(name) starts at data byte \(tensor.range.lowerBound - start), not at \(end - start) "
                        + "where the one before it ends: holes and overlaps are not allowed")
            }
            end = tensor.range.upperBound
        }
        guard end == bytes.count else {
            throw SafetensorsError("has \(bytes.count - end) bytes after its last tensor")
        }
        return (tensors, metadata)
    }

    private static func metadata(_ value: JSONValue?) throws(SafetensorsError) -> [String: String] {
        guard let value else { return [:] }
        guard case .object(let members) = value else { throw SafetensorsError("its __metadata__ is not an object") }
        var metadata: [String: String] = [:]
        for (key, member) in members {
            guard case .string(let text) = member else {
                throw SafetensorsError("its __metadata__ holds something other than a string under \"\(key)\"")
            }
            metadata[key] = text
        }
        return metadata
    }

    private static func tensor(
        _ name: String, _ member: JSONValue, dataStart: Int, fileEnd: Int
    ) throws(SafetensorsError) -> SafetensorsFile.Tensor {
        guard case .object(let fields) = member, Set(fields.keys) == ["dtype", "shape", "data_offsets"] else {
            throw SafetensorsError("the tensor \(name) must have exactly dtype, shape and data_offsets")
        }
        guard case .string(let word)? = fields["dtype"],
            // Byte for byte: a word that is none may be long.
            let type = ElementType.allCases.first(where: { $0.rawValue.utf8.elementsEqual(word.utf8) })
        else {
            throw SafetensorsError(
                "the tensor \(name) has an unknown dtype; known are "
                    + ElementType.allCases.map(\.rawValue).joined(separator: ", "))
        }
        guard let shape = integers(fields["shape"]), let offsets = integers(fields["data_offsets"]), offsets.count == 2
        else { throw SafetensorsError("the tensor \(name) has a shape or offsets that are not whole numbers") }
        guard shape.count <= SafetensorsFile.maximumRank else {
            throw SafetensorsError(
                "the tensor \(name) has a shape of \(shape.count) extents; at most \(SafetensorsFile.maximumRank) are "
                    + "read")
        }
        var count = 1
        for extent in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw SafetensorsError("the tensor \(name) has a shape too large to count") }
            count = product
        }
        let (byteCount, overflow) = count.multipliedReportingOverflow(by: type.byteCount)
        guard !overflow, offsets[0] <= offsets[1], offsets[1] - offsets[0] == byteCount else {
            throw SafetensorsError("the tensor \(name) has offsets that do not fit its shape \(shape) of \(word)")
        }
        guard offsets[1] <= fileEnd - dataStart else {
            throw SafetensorsError("the tensor \(name) ends beyond the file: truncated?")
        }
        return SafetensorsFile.Tensor(
            type: type, shape: shape, range: dataStart + offsets[0]..<dataStart + offsets[1], count: count)
    }

    /// Whole numbers from 0 to 2^53, which a double holds exactly.
    private static func integers(_ value: JSONValue?) -> [Int]? {
        guard case .array(let elements)? = value else { return nil }
        var integers: [Int] = []
        for element in elements {
            guard case .number(let number) = element, number >= 0, number <= 0x1p53, number == number.rounded() else {
                return nil
            }
            integers.append(Int(number))
        }
        return integers
    }
}

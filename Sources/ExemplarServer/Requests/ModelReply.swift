public import ExemplarNetwork
public import JSONRPC
import KernelInterface

extension ModelDescription {
    /// The members that the method `model` answers with, as far as they are the model's own.
    public var json: JSONValue { .object(members) }

    fileprivate var members: [JSONValue.Member] {
        let layers = layers.map { layer -> JSONValue in
            [
                "name": .string(layer.name), "type": .string(layer.type),
                "shape": .array(layer.shape.map(JSONValue.int)),
            ]
        }
        return [
            .init("name", .string(name)), .init("sha256", .string(sha256)), .init("embedding", .string(embedding)),
            .init("dim", .int(dimension)),
            .init(
                "patch_shape", .array([.int(patchShape.height), .int(patchShape.width), .int(patchShape.channels)])),
            .init("layers", .array(layers)), .init("exemplars", exemplars.map(JSONValue.int) ?? .null),
            .init("isa", .string(instructionSet.rawValue)), .init("accuracy", .string(accuracy.rawValue)),
            .init("self_test", .string(selfTest)),
            .init("self_test_error", selfTestError.map(JSONValue.double) ?? .null),
            .init(
                "metadata",
                .object(metadata.sorted { $0.key < $1.key }.map { JSONValue.Member($0.key, .string($0.value)) })),
        ]
    }
}

extension ServedModel {
    /// The result of the method `model`.
    ///
    /// - Parameter longestLabel: its bytes, as replies have it.
    static func description(of model: Model, threads: Int, longestLabel: Int) -> ByteBuffer {
        let server: [JSONValue.Member] = [
            .init("threads", .int(threads)), .init("protocol", 1), .init("label_bytes", .int(longestLabel)),
        ]
        var text = ByteBuffer()
        text.append(json: .object(model.description.members + server))
        return text
    }
}

extension ModelSet {
    /// The result of the method `models`.
    static func description(of models: [ServedModel], defaultName: String) -> ByteBuffer {
        var text = ByteBuffer()
        text.append("{\"models\":")
        text.append(jsonArrayOf: models) { $0.append(contentsOf: $1.description) }
        text.append(",\"default\":")
        text.append(jsonString: defaultName)
        text.append("}")
        return text
    }
}

import ExemplarNetwork
import Glibc
import Images
import JSONRPC
import TestSupport
import Transformations

/// Networks small enough for a server of every test.
extension Oracle {
    /// 9 × 8 × 3 pixels, four layers, a head.
    static func tiny(
        name: String = "tiny", seed: UInt64 = 5, transformations: TransformationRanges? = nil
    ) -> Oracle {
        .random(
            NetworkConfiguration(
                name: name, input: .init(height: 9, width: 8, channels: 3),
                preprocessing: .init(scale: 1.0 / 255, mean: [0.4, 0.4, 0.4], std: [0.3, 0.3, 0.3]),
                layers: [
                    LayerConfiguration(
                        name: "conv1",
                        kind: .convolution(
                            outChannels: 4, kernel: Extent(3, 3), stride: Extent(1, 1), padding: Extent(1, 1),
                            activation: .relu)),
                    LayerConfiguration(
                        name: "pool1",
                        kind: .maxPool(
                            kernel: Extent(2, 2), stride: Extent(2, 2), padding: Extent(0, 0), rounding: .ceil)),
                    LayerConfiguration(name: "fc1", kind: .linear(outFeatures: 7, activation: .relu)),
                    LayerConfiguration(name: "logits", kind: .linear(outFeatures: 3, activation: .none)),
                ], embedding: "fc1", head: "logits", transformations: transformations),
            seed: seed)
    }

    /// 24 × 24 × 3 pixels and a map of 24 × 24 × 64 values, 147 kB: enough work and output to fill queues and buffers.
    ///
    /// - Parameter side: of the second kernel; under sanitizers a fifth of the multiplications is as much work.
    static func wide(side: Int = isInstrumented ? 1 : 5, transformations: TransformationRanges? = nil) -> Oracle {
        .random(
            NetworkConfiguration(
                name: "wide", input: .init(height: 24, width: 24, channels: 3),
                preprocessing: .init(scale: 1.0 / 255, mean: [0.4, 0.4, 0.4], std: [0.3, 0.3, 0.3]),
                layers: [
                    LayerConfiguration(
                        name: "conv1",
                        kind: .convolution(
                            outChannels: 64, kernel: Extent(5, 5), stride: Extent(1, 1), padding: Extent(2, 2),
                            activation: .relu)),
                    LayerConfiguration(
                        name: "conv2",
                        kind: .convolution(
                            outChannels: 64, kernel: Extent(side, side), stride: Extent(2, 2),
                            padding: Extent(side / 2, side / 2), activation: .relu)),
                    LayerConfiguration(name: "fc", kind: .linear(outFeatures: 8, activation: .none)),
                ], embedding: "fc", transformations: transformations),
            seed: 6)
    }

    /// A patch of seeded noise, row-major H × W × C.
    func patch(_ seed: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        return random.bytes(configuration.input.count)
    }

    /// A line that asks for the embeddings of the patches of `seeds`.
    ///
    /// - Parameter parameters: JSON members beside `patches`, each with a comma before it.
    func embedLine(id: String = "1", _ seeds: [UInt64] = [1], _ parameters: String = "") -> String {
        let patches = seeds.map { "\"\(base64(patch($0)))\"" }.joined(separator: ",")
        return #"{"jsonrpc":"2.0","id":\#(id),"method":"embed","params":{"patches":[\#(patches)]\#(parameters)}}"#
    }
}

extension Oracle {
    /// A line that asks for the embedding of one grey image, sent as its pixels.
    func imageLine(_ height: Int, _ width: Int) -> String {
        let pixels = base64([UInt8](repeating: 128, count: height * width * 3))
        return #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"patches":["\#(pixels)"],"#
            + #""shape":[\#(height),\#(width),3],"pool":"max"}}"#
    }

    /// The same, sent as a PNG.
    func fileLine(_ height: Int, _ width: Int) throws -> String {
        let pixels = [UInt8](repeating: 128, count: height * width * 3)
        guard let image = Raster(height: height, width: width, channels: .rgb, pixels: pixels) else {
            throw TestFailure("no image of \(height) × \(width)")
        }
        let file = base64(try image.png())
        return #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"images":["\#(file)"],"pool":"max"}}"#
    }
}

/// RFC 4648, §4, the slow way: independent of what it tests.
func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
        var bits = 0
        for index in start..<start + 3 { bits = bits << 8 | (index < bytes.count ? Int(bytes[index]) : 0) }
        for index in 0..<4 {
            text.append(start + index <= bytes.count ? alphabet[bits >> (18 - 6 * index) & 63] : UInt8(ascii: "="))
        }
    }
    return String(decoding: text, as: UTF8.self)
}

func base64(_ values: [Float]) -> String {
    base64(values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * UInt32($0))) } })
}

/// The inverse.
func decoded(_ text: String) -> [UInt8] {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var bytes: [UInt8] = []
    var bits = 0
    var count = 0
    for character in text.utf8 {
        guard let value = alphabet.firstIndex(of: character) else { break }
        bits = bits << 6 | value
        count += 6
        if count >= 8 {
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> count))
        }
        bits &= 1 << count - 1
    }
    return bytes
}

/// The server's vectors of little-endian float32.
func floats(_ text: String) -> [Float] {
    let bytes = decoded(text)
    return stride(from: 0, to: bytes.count - 3, by: 4).map { start in
        Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << (8 * UInt32($1)) })
    }
}

/// A folder of links to model folders, for `--models`; gone with the last reference.
final class ModelsFolder {
    let path: String
    private var names: [String] = []

    init(_ models: [(name: String, model: TemporaryModel)]) throws {
        path = try temporaryFolder()
        for (name, model) in models {
            names.append(name)
            guard symlink(model.path, "\(path)/\(name)") == 0 else { throw TestFailure("symlink: \(errno)") }
        }
    }

    /// Makes `name` lead to another model.
    func replace(_ name: String, with model: TemporaryModel) throws {
        unlink("\(path)/\(name)")
        guard symlink(model.path, "\(path)/\(name)") == 0 else { throw TestFailure("symlink: \(errno)") }
    }

    deinit {
        for name in names { unlink("\(path)/\(name)") }
        rmdir(path)
    }
}

func temporaryFolder() throws -> String {
    var template = Array("/tmp/exemplar-server-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure("no temporary folder: \(errno)") }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
}

/// A file of `text`; gone with the last reference.
final class TemporaryFile {
    let path: String
    private let folder: String

    init(_ text: String) throws {
        folder = try temporaryFolder()
        path = folder + "/file"
        guard let file = fopen(path, "w") else { throw TestFailure("\(path): \(errno)") }
        fputs(text, file)
        fclose(file)
    }

    deinit {
        unlink(path)
        rmdir(folder)
    }
}

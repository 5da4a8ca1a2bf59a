import ExemplarNetwork
import Images
import Platform

/// The pixels of one file, to cut patches from.
struct Photograph {
    /// The file's name, for errors and for the output.
    var name: String
    var raster: Raster

    /// The patches at `positions`, or the whole photograph where there are none and it is one patch.
    func patches(
        at positions: [PatchPosition], shape: NetworkConfiguration.PatchShape
    ) throws(CommandError) -> [(position: PatchPosition, pixels: [UInt8])] {
        let lastX = raster.width - shape.width
        let lastY = raster.height - shape.height
        guard lastX >= 0, lastY >= 0 else { throw .failure("\(sizes(shape)): choose a larger one.") }
        guard !positions.isEmpty || (lastX == 0 && lastY == 0) else {
            throw .failure(
                "\(sizes(shape)): choose patches by their top left corners, such as the centre, "
                    + "--patch \(lastX / 2),\(lastY / 2).")
        }
        var patches: [(position: PatchPosition, pixels: [UInt8])] = []
        for position in positions.isEmpty ? [PatchPosition(x: 0, y: 0)] : positions {
            guard let patch = raster.crop(x: position.x, y: position.y, height: shape.height, width: shape.width) else {
                throw .failure(
                    "The patch at \(position.x),\(position.y) is not inside \(name), which is "
                        + "\(raster.width)×\(raster.height) (width by height): X is at most \(lastX) and Y at most "
                        + "\(lastY).")
            }
            patches.append((position, patch.pixels))
        }
        return patches
    }

    private func sizes(_ shape: NetworkConfiguration.PatchShape) -> String {
        "\(name) is \(raster.width)×\(raster.height) (width by height), and the network reads patches of "
            + "\(shape.width)×\(shape.height)"
    }
}

extension Photograph {
    /// The most pixels decoded, 768 MiB of RGB: more than cameras make, less than would exhaust a common machine.
    static let maximumPixels = 1 << 28
    /// The largest file read, and the largest part of the memory: an array that grows holds up to three times as much.
    static let maximumBytes = 1 << 30
    static let memoryPart = 4

    /// Reads and decodes `file`, in grey for a network of 1 input channel, in colour for one of 3, where there is
    /// `memory` for it.
    init(file: String, channels: Int, memory: MemoryLimit = .current()) throws(CommandError) {
        guard let wanted = Raster.Channels(rawValue: channels) else {
            throw .failure(
                "The network reads patches of \(channels) channels; photographs have 3, or 1 in grey. Send it raw "
                    + "pixels, with the Python client for example.")
        }
        var memory = memory
        let most = min(Photograph.maximumBytes, memory.byteCount / Photograph.memoryPart)
        guard let bytes = fileBytes(file, limit: most + 1) else {
            throw .failure("\(file) cannot be read: \(errorText()).")
        }
        guard bytes.count <= most else {
            throw .failure(
                "\(file) is larger than \(MemoryLimit.text(most)), the most that is read: choose a smaller file.")
        }
        memory.taken = bytes.capacity
        do {
            let header = try ImageHeader(of: bytes, maximumPixels: Photograph.maximumPixels)
            try memory.check(
                header.decodingByteCount(as: wanted),
                for: "\(header.width)×\(header.height) pixels, while they are decoded,", advice: "choose a smaller file"
            )
            raster = try Raster(decoding: bytes, as: wanted, maximumPixels: Photograph.maximumPixels)
        } catch {
            throw .failure("\(file): \(error)")
        }
        name = file
    }
}

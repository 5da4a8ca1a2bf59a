import ExemplarNetwork

/// The pixels of one file, to cut patches from.
struct Photograph {
    /// The file's name, for errors and for the output.
    var name: String
    var width: Int
    var height: Int
    /// 3 for RGB, 1 for grey.
    var channels: Int
    /// Row-major height × width × channels.
    var pixels: [UInt8]

    /// The patches at `positions`, or the whole photograph where there are none and it is one patch.
    func patches(
        at positions: [PatchPosition], shape: NetworkConfiguration.PatchShape
    ) throws(CommandError) -> [(position: PatchPosition, pixels: [UInt8])] {
        guard channels == shape.channels else {
            throw .failure("\(name) has \(channels) channels a pixel; the network reads \(shape.channels).")
        }
        guard width >= shape.width, height >= shape.height else {
            throw .failure("\(sizes(shape)): choose a larger one.")
        }
        let lastX = width - shape.width
        let lastY = height - shape.height
        guard !positions.isEmpty || (lastX == 0 && lastY == 0) else {
            throw .failure(
                "\(sizes(shape)): choose patches by their top left corners, such as the centre, "
                    + "--patch \(lastX / 2),\(lastY / 2).")
        }
        var patches: [(position: PatchPosition, pixels: [UInt8])] = []
        for position in positions.isEmpty ? [PatchPosition(x: 0, y: 0)] : positions {
            guard position.x <= lastX, position.y <= lastY else {
                throw .failure(
                    "The patch at \(position.x),\(position.y) is not inside \(name), which is \(width)×\(height) "
                        + "(width by height): X is at most \(lastX) and Y at most \(lastY).")
            }
            patches.append((position, cut(position, shape)))
        }
        return patches
    }

    private func sizes(_ shape: NetworkConfiguration.PatchShape) -> String {
        "\(name) is \(width)×\(height) (width by height), and the network reads patches of "
            + "\(shape.width)×\(shape.height)"
    }

    private func cut(_ position: PatchPosition, _ shape: NetworkConfiguration.PatchShape) -> [UInt8] {
        var patch: [UInt8] = []
        patch.reserveCapacity(shape.count)
        for row in position.y..<position.y + shape.height {
            let start = (row * width + position.x) * channels
            patch += pixels[start..<start + shape.width * channels]
        }
        return patch
    }
}

extension Photograph {
    /// Reads and decodes `file`.
    init(file: String, channels: Int) throws(CommandError) {
        throw .failure("no decoder yet")
    }
}

import KernelInterface
import Tensors

/// From maps to rows: each selected layer's output goes to its place in the rows, flattened or pooled.
extension Embedder {
    /// Writes the output of layer `index` into the rows of a group's images, if the selection asks for it, by way of
    /// the memory of the member in `seat`.
    func gather(_ index: Int, _ selection: LayerSelection, _ group: Group, dimension: Int, seat: Int) {
        var offset = 0
        for selected in selection.indices {
            if selected == index {
                let layout = network.plan.layouts[index + 1]
                for image in group.images {
                    write(
                        layout.view(buffer(index + 1, of: image, in: group)), of: index, selection.pooling, seat: seat,
                        into: outputs.base + (image * dimension + offset))
                }
                return
            }
            offset += selection.pooling.count(of: network.layers[selected].output)
        }
    }

    private func write(
        _ map: MapView, of index: Int, _ pooling: Pooling, seat: Int, into output: UnsafeMutablePointer<Float>
    ) {
        let channels = network.layers[index].output.channels
        switch pooling {
        case .none:
            flatten(map, channels: channels, scale: 1, into: output)
        case .quadrant:
            flatten(
                maxima(of: map, side: 2, seat: seat), channels: channels, scale: network.featureScales[index],
                into: output)
        case .max:
            flatten(maxima(of: map, side: 1, seat: seat), channels: channels, scale: 1, into: output)
        case .mean:
            let pooled = pooledMap(side: 1, channels: map.columnStride, seat: seat)
            network.kernels.meanPool(
                MeanArguments(input: map, output: pooled.address, channels: map.columnStride))
            flatten(pooled, channels: channels, scale: 1, into: output)
        }
    }

    /// The maxima of `side` × `side` parts of a map: max-pooling with windows of ⌈H / side⌉ rows every ⌊H / side⌋,
    /// which for sides of 1 and 2 end at the map's last row.
    private func maxima(of map: MapView, side: Int, seat: Int) -> MapView {
        let pooled = pooledMap(side: side, channels: map.columnStride, seat: seat)
        network.kernels.maxPool(
            PoolArguments(
                input: map, output: pooled, channels: map.columnStride, kernelHeight: (map.height + side - 1) / side,
                kernelWidth: (map.width + side - 1) / side, strideHeight: map.height / side,
                strideWidth: map.width / side, paddingHeight: 0, paddingWidth: 0))
        return pooled
    }

    /// The part of the slab that a member's pooled outputs pass through, as a map.
    private func pooledMap(side: Int, channels: Int, seat: Int) -> MapView {
        MapView(
            address: slab.base + (memory.pooled + seat * network.plan.pooledStride), height: side, width: side,
            rowStride: side * channels, columnStride: channels)
    }

    /// A map in C, H, W order.
    private func flatten(_ map: MapView, channels: Int, scale: Float, into output: UnsafeMutablePointer<Float>) {
        let plane = map.height * map.width
        var position = 0
        for y in 0..<map.height {
            for x in 0..<map.width {
                let pixel = map.address + (y * map.rowStride + x * map.columnStride)
                for channel in 0..<channels {
                    output[channel * plane + position] = pixel[channel] * scale
                }
                position += 1
            }
        }
    }
}

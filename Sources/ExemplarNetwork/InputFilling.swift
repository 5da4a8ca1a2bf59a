import KernelInterface

extension Network {
    /// Writes the centre window of `input` into the network's input map.
    func fill(_ map: MapView, from input: EmbedderInput) {
        let top = (input.height - map.height) / 2
        let left = (input.width - map.width) / 2
        let offset = (top * input.width + left) * pixels.channels * input.pixels.format.byteCount
        let window = PatchPixels(address: input.pixels.address + offset, format: input.pixels.format)
        pixels.apply(to: window, rowPixels: input.width, map)
    }
}

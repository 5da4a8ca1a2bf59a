import KernelInterface

/// One max-pooling layer of one image; see `PoolArguments`.
@inline(never)
func maxPool(_ arguments: PoolArguments) {
    let input = arguments.input
    let output = arguments.output
    for y in 0..<output.height {
        let top = y * arguments.strideHeight - arguments.paddingHeight
        let rows = max(top, 0)..<min(top + arguments.kernelHeight, input.height)
        for x in 0..<output.width {
            let left = x * arguments.strideWidth - arguments.paddingWidth
            let columns = max(left, 0)..<min(left + arguments.kernelWidth, input.width)
            let target = output.address + (y * output.rowStride + x * output.columnStride)
            var channel = 0
            while channel < arguments.channels {
                var best = Vector(repeating: -.infinity)
                for row in rows {
                    let source = input.address + (row * input.rowStride + channel)
                    for column in columns {
                        best = best.maximum(source.vector(at: column * input.columnStride))
                    }
                }
                target.store(best, at: channel)
                channel += 16
            }
        }
    }
}

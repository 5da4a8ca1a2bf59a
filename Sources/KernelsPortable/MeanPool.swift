import KernelInterface

/// The mean of one map; see `MeanArguments`.
@inline(never)
func meanPool(_ arguments: MeanArguments) {
    let input = arguments.input
    let count = Vector(repeating: Float(input.height * input.width))
    var channel = 0
    while channel < arguments.channels {
        var sum = Vector()
        for y in 0..<input.height {
            let source = input.address + (y * input.rowStride + channel)
            var row = Vector()
            for x in 0..<input.width { row += source.vector(at: x * input.columnStride) }
            sum += row
        }
        arguments.output.store(sum / count, at: channel)
        channel += 16
    }
}

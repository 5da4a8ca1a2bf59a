/// Reads `count` floats once, in one stream; what is not a multiple of eight registers at the end is left out.
///
/// - Returns: their sum, so that no read can be left out.
@inline(never)
public func readAll(_ floats: UnsafePointer<Float>, count: Int) -> Float {
    let width = Register.scalarCount
    var sums = InlineArray<8, Register>(repeating: Register())
    var address = UnsafeRawPointer(floats)
    let end = address + count / (8 * width) * (8 * width) * 4
    while address < end {
        for index in sums.indices {
            sums[index] += address.loadUnaligned(fromByteOffset: index * width * 4, as: Register.self)
        }
        address += 8 * width * 4
    }
    var sum = Register()
    for index in sums.indices { sum += sums[index] }
    return sum.sum()
}

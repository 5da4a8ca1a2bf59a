import Glibc

/// What can be fuzzed, by the name in the environment variable EXEMPLAR_FUZZ_TARGET: one program for all of them, since
/// building takes longer than a short run.
enum FuzzTarget: String, CaseIterable {
    case base64
    case configuration
    case framing
    case image
    case jsonrpc
    case safetensors

    static let chosen: FuzzTarget = {
        let name = getenv("EXEMPLAR_FUZZ_TARGET").map { String(cString: $0) } ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            let names = allCases.map(\.rawValue).joined(separator: ", ")
            fail("EXEMPLAR_FUZZ_TARGET is '\(name)'; it must be one of \(names).")
        }
        return target
    }()

    func run(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .base64: fuzzBase64(bytes)
        case .configuration: fuzzConfiguration(bytes)
        case .framing: fuzzFraming(bytes)
        case .image: fuzzImage(bytes)
        case .jsonrpc: fuzzJSONRPC(bytes)
        case .safetensors: fuzzSafetensors(bytes)
        }
    }
}

/// libFuzzer's entry point: one input.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    FuzzTarget.chosen.run(UnsafeRawBufferPointer(start: bytes, count: count))
    return 0
}

/// Ends the process where a property does not hold; libFuzzer then keeps the input.
func check(_ holds: Bool, _ property: @autoclosure () -> String) {
    if !holds { fail(property()) }
}

private func fail(_ text: String) -> Never {
    let line = Array((text + "\n").utf8)
    _ = write(STDERR_FILENO, line, line.count)
    abort()
}

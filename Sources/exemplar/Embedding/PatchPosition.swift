/// Where a patch lies in a photograph: its top left corner, in pixels, x to the right and y down, both from 0.
struct PatchPosition: Equatable, Sendable {
    var x: Int
    var y: Int

    /// Reads `X,Y`.
    init(_ text: String) throws(CommandError) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let x = parts[0], let y = parts[1], x >= 0, y >= 0 else {
            throw .usage(
                "--patch is '\(text)'; it must be X,Y, the patch's top left corner in pixels, such as 120,80")
        }
        self.x = x
        self.y = y
    }

    init(x: Int, y: Int) {
        self.x = x
        self.y = y
    }
}

import KernelInterface

/// How the members of a crew share a Winograd convolution: a grid of parts of its tiles by parts of its panels, one
/// for each member; some may be left without.
///
/// Members with the same tiles transform their inputs each for itself, members with the same panels read their weights
/// each for itself; so few tiles want parts of the panels, and many want none. No result depends on it.
struct TileGrid: Sendable, Equatable {
    let tileParts: Int
    let panelParts: Int

    /// What a part costs, in vector instructions as in `CostModel`.
    struct Costs: Sendable {
        /// To transform the inputs of one tile.
        let tile: Double
        /// Products and output transform of one tile and one panel.
        let product: Double
        /// To read one panel's weights, once for each block of tiles.
        let weights: Double
        /// Tiles of one block.
        let blockSize: Int

        func part(tiles: Int, panels: Int) -> Double {
            let blocks = (tiles + blockSize - 1) / max(blockSize, 1)
            return Double(tiles) * tile + Double(panels) * (Double(tiles) * product + Double(blocks) * weights)
        }
    }

    /// The grid whose largest part costs least; of two that cost the same, that with more parts of the tiles.
    init(tiles: Int, panels: Int, members: Int, costs: Costs) {
        var best = (cost: Double.infinity, tileParts: 1, panelParts: 1)
        for tileParts in stride(from: max(1, min(members, tiles)), through: 1, by: -1) {
            let panelParts = max(1, min(members / tileParts, panels))
            let cost = costs.part(
                tiles: (tiles + tileParts - 1) / tileParts, panels: (panels + panelParts - 1) / panelParts)
            if cost < best.cost { best = (cost, tileParts, panelParts) }
        }
        (tileParts, panelParts) = (best.tileParts, best.panelParts)
    }

    /// A member's part of so many tiles and panels; nil where there is none for it.
    func part(of member: Int, tiles: Int, panels: Int) -> (tiles: Range<Int>, panels: Range<Int>)? {
        guard member < tileParts * panelParts else { return nil }
        let (row, column) = member.quotientAndRemainder(dividingBy: panelParts)
        return (
            row * tiles / tileParts..<(row + 1) * tiles / tileParts,
            column * panels / panelParts..<(column + 1) * panels / panelParts
        )
    }
}

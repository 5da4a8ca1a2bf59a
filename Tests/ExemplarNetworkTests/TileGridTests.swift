import Testing

@testable import ExemplarNetwork

/// How members share the tiles and panels of a Winograd convolution.
@Suite struct TileGridTests {
    /// A tile's transform, a product, a panel's weights: cheap and dear against one another.
    static let costs: [TileGrid.Costs] = [
        TileGrid.Costs(tile: 2560, product: 9000, weights: 32768, blockSize: 24),
        TileGrid.Costs(tile: 0, product: 1, weights: 0, blockSize: 12),
        TileGrid.Costs(tile: 100_000, product: 1, weights: 1, blockSize: 24),
        TileGrid.Costs(tile: 1, product: 1, weights: 100_000, blockSize: 24),
    ]

    @Test(arguments: costs.indices)
    func everyTileOfEveryPanelIsOneMembers(index: Int) {
        for (tiles, panels) in [(1, 1), (4, 8), (5, 3), (16, 4), (32, 1), (64, 4), (191, 16)] {
            for members in [1, 2, 3, 4, 7, 8, 16, 64] {
                let grid = TileGrid(tiles: tiles, panels: panels, members: members, costs: Self.costs[index])
                #expect(grid.tileParts * grid.panelParts <= members)
                var owners = [Int](repeating: 0, count: tiles * panels)
                for member in 0..<members {
                    guard let part = grid.part(of: member, tiles: tiles, panels: panels) else { continue }
                    #expect(!part.tiles.isEmpty && !part.panels.isEmpty)
                    for tile in part.tiles {
                        for panel in part.panels { owners[tile * panels + panel] += 1 }
                    }
                }
                #expect(owners.allSatisfy { $0 == 1 }, "\(tiles) tiles, \(panels) panels, \(members) members: \(grid)")
            }
        }
    }

    /// Many tiles are shared by tiles, where no input is transformed twice; so are few, where transforms are dear.
    /// Where weights are dear, panels are shared.
    @Test func itIsTheCheapestGrid() {
        func grid(_ costs: TileGrid.Costs, tiles: Int, panels: Int, members: Int) -> [Int] {
            let grid = TileGrid(tiles: tiles, panels: panels, members: members, costs: costs)
            return [grid.tileParts, grid.panelParts]
        }
        #expect(grid(Self.costs[1], tiles: 64, panels: 4, members: 8) == [8, 1])
        #expect(grid(Self.costs[2], tiles: 4, panels: 4, members: 4) == [4, 1])
        #expect(grid(Self.costs[3], tiles: 64, panels: 4, members: 4) == [1, 4])
        // Neither alone gives all of them something to do.
        #expect(grid(Self.costs[1], tiles: 2, panels: 4, members: 8) == [2, 4])
        // A panel each of three members would cost two; the fourth is left without.
        #expect(grid(Self.costs[1], tiles: 1, panels: 3, members: 4) == [1, 3])
    }

    /// No grid of all that there are has a cheaper largest part.
    @Test func noOtherGridIsCheaper() {
        for costs in Self.costs {
            for (tiles, panels, members) in [(16, 4, 8), (7, 5, 6), (64, 4, 8), (3, 9, 16)] {
                func cost(_ tileParts: Int, _ panelParts: Int) -> Double {
                    costs.part(
                        tiles: (tiles + tileParts - 1) / tileParts, panels: (panels + panelParts - 1) / panelParts)
                }
                let grid = TileGrid(tiles: tiles, panels: panels, members: members, costs: costs)
                for tileParts in 1...tiles {
                    for panelParts in 1...panels where tileParts * panelParts <= members {
                        #expect(cost(grid.tileParts, grid.panelParts) <= cost(tileParts, panelParts))
                    }
                }
            }
        }
    }
}

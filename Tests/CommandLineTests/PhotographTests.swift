import ExemplarNetwork
import Testing

@testable import exemplar

@Suite struct PhotographTests {
    /// Every pixel says where it is: channel 0 its x, channel 1 its y.
    static let photograph = Photograph(
        name: "p.png", width: 5, height: 4, channels: 2,
        pixels: (0..<4).flatMap { y in (0..<5).flatMap { x in [UInt8(x), UInt8(y)] } })
    static let shape = NetworkConfiguration.PatchShape(height: 2, width: 3, channels: 2)

    @Test func patchesAreCutWhereTheyAreSaidToBe() throws {
        let corner = PatchPosition(x: 2, y: 2)
        let patches = try Self.photograph.patches(at: [PatchPosition(x: 0, y: 0), corner], shape: Self.shape)
        #expect(patches.map(\.position) == [PatchPosition(x: 0, y: 0), corner])
        #expect(patches[0].pixels == [0, 0, 1, 0, 2, 0, 0, 1, 1, 1, 2, 1])
        #expect(patches[1].pixels == [2, 2, 3, 2, 4, 2, 2, 3, 3, 3, 4, 3])
    }

    @Test func aPhotographOfPatchSizeNeedsNoPosition() throws {
        let whole = NetworkConfiguration.PatchShape(height: 4, width: 5, channels: 2)
        #expect(try Self.photograph.patches(at: [], shape: whole).map(\.pixels) == [Self.photograph.pixels])
    }

    @Test func errorsSayWhatToDo() {
        func message(_ positions: [PatchPosition], _ shape: NetworkConfiguration.PatchShape) -> String? {
            #expect(throws: CommandError.self) { try Self.photograph.patches(at: positions, shape: shape) }?.message
        }
        #expect(
            message([], Self.shape)
                == "p.png is 5×4 (width by height), and the network reads patches of 3×2: choose patches by their top "
                + "left corners, such as the centre, --patch 1,1.")
        for outside in [PatchPosition(x: 3, y: 0), PatchPosition(x: 0, y: 3), PatchPosition(x: .max, y: .max)] {
            #expect(message([outside], Self.shape)?.contains("X is at most 2 and Y at most 2") == true)
        }
        #expect(message([], .init(height: 9, width: 9, channels: 2))?.hasSuffix("choose a larger one.") == true)
        #expect(message([], .init(height: 2, width: 3, channels: 3))?.contains("the network reads 3") == true)
    }

    @Test(arguments: ["", "1", "1,", "1,2,3", "-1,0", "a,b", "1 , 2"])
    func positionsThatAreNone(text: String) {
        #expect(throws: CommandError.self) { try PatchPosition(text) }
    }

    @Test func aPosition() throws {
        #expect(try PatchPosition("120,80") == PatchPosition(x: 120, y: 80))
    }
}

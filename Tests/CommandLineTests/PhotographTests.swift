import ExemplarNetwork
import Images
import Testing

@testable import exemplar

@Suite struct PhotographTests {
    /// Every pixel says where it is: red its x, green its y.
    static func photograph() throws -> Photograph {
        let pixels = (0..<4).flatMap { y -> [UInt8] in (0..<5).flatMap { x -> [UInt8] in [UInt8(x), UInt8(y), 9] } }
        return Photograph(
            name: "p.png", raster: try #require(Raster(height: 4, width: 5, channels: .rgb, pixels: pixels)))
    }
    static let shape = NetworkConfiguration.PatchShape(height: 2, width: 3, channels: 3)

    @Test func patchesAreCutWhereTheyAreSaidToBe() throws {
        let corner = PatchPosition(x: 2, y: 2)
        let patches = try Self.photograph().patches(at: [PatchPosition(x: 0, y: 0), corner], shape: Self.shape)
        #expect(patches.map(\.position) == [PatchPosition(x: 0, y: 0), corner])
        #expect(patches[0].pixels == [0, 0, 9, 1, 0, 9, 2, 0, 9, 0, 1, 9, 1, 1, 9, 2, 1, 9])
        #expect(patches[1].pixels == [2, 2, 9, 3, 2, 9, 4, 2, 9, 2, 3, 9, 3, 3, 9, 4, 3, 9])
    }

    @Test func aPhotographOfPatchSizeNeedsNoPosition() throws {
        let whole = NetworkConfiguration.PatchShape(height: 4, width: 5, channels: 3)
        let photograph = try Self.photograph()
        #expect(try photograph.patches(at: [], shape: whole).map(\.pixels) == [photograph.raster.pixels])
    }

    @Test func errorsSayWhatToDo() throws {
        let photograph = try Self.photograph()
        func message(_ positions: [PatchPosition], _ shape: NetworkConfiguration.PatchShape) -> String? {
            #expect(throws: CommandError.self) { try photograph.patches(at: positions, shape: shape) }?.message
        }
        #expect(
            message([], Self.shape)
                == "p.png is 5×4 (width by height), and the network reads patches of 3×2: choose patches by their top "
                + "left corners, such as the centre, --patch 1,1.")
        for outside in [PatchPosition(x: 3, y: 0), PatchPosition(x: 0, y: 3), PatchPosition(x: .max, y: .max)] {
            #expect(message([outside], Self.shape)?.contains("X is at most 2 and Y at most 2") == true)
        }
        #expect(message([], .init(height: 9, width: 9, channels: 3))?.hasSuffix("choose a larger one.") == true)
    }

    /// Pixels take a thousand times what such a file does.
    @Test func memoryIsAskedForFirst() throws {
        let folder = try TemporaryFolder()
        let black = Raster(height: 600, width: 700, channels: .rgb, pixels: Array(repeating: 0, count: 600 * 700 * 3))
        try folder.write("black.png", try #require(black).png())
        func message(_ file: String, memory: Int) -> String? {
            #expect(throws: CommandError.self) {
                try Photograph(file: file, channels: 3, memory: .current(chosen: memory))
            }?.message
        }
        let file = folder.path + "/black.png"
        #expect(message(file, memory: 1 << 20)?.contains("700×600 pixels, while they are decoded, take 2 MiB") == true)
        #expect(message(file, memory: 1 << 10)?.contains("larger than 256 bytes, the most that is read") == true)
        #expect(message("/dev/zero", memory: 4 << 20)?.contains("larger than 1 MiB") == true)
        #expect(try Photograph(file: file, channels: 3, memory: .current(chosen: 64 << 20)).raster == black)
    }

    @Test(arguments: ["", "1", "1,", "1,2,3", "-1,0", "a,b", "1 , 2"])
    func positionsThatAreNone(text: String) {
        #expect(throws: CommandError.self) { try PatchPosition(text) }
    }

    @Test func aPosition() throws {
        #expect(try PatchPosition("120,80") == PatchPosition(x: 120, y: 80))
    }
}

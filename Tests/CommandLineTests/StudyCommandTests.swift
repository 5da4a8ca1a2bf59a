import ExemplarNetwork
import Glibc
import Images
import TestSupport
import Testing
import Transformations

@testable import exemplar

/// `exemplar surrogates`, `bound` and `invariance`: whole command lines on files.
@Suite struct StudyCommandTests {
    private func run(_ arguments: [String]) -> Int32 { Exemplar.run(arguments, environment: [:]) }

    private func raster(_ path: String) throws -> Raster {
        try Raster(decoding: try contents(path), as: .rgb, maximumPixels: 1 << 24)
    }

    @Test func theSheetShowsTheOriginalFirst() throws {
        let fixture = try StudyFixture()
        let folder = try TemporaryFolder()
        let photograph = try LocalEmbeddingTests.photograph(height: 30, width: 41, seed: 1)
        try folder.write("photo.png", try photograph.png())
        let picture = try sheet([], fixture, folder)
        let (side, gap) = (24, ContactSheet.gap)
        #expect(picture.width == 3 * (side + gap) + gap)
        #expect(picture.height == 3 * (side + gap) + gap)
        let patch = try #require(photograph.crop(x: 29, y: 0, height: 12, width: 12))
        for y in 0..<side {
            for x in 0..<side {
                let shown = ((y + gap) * picture.width + x + gap) * 3
                let original = (y / 2 * 12 + x / 2) * 3
                #expect(picture.pixels[shown..<shown + 3] == patch.pixels[original..<original + 3])
            }
        }
    }

    /// Draw k is the server's of the same seed and index, in the steps that are asked for.
    @Test func theSheetShowsTheDrawsOfASeedInSomeSteps() throws {
        let fixture = try StudyFixture()
        let folder = try TemporaryFolder()
        let photograph = try LocalEmbeddingTests.photograph(height: 30, width: 41, seed: 1)
        try folder.write("photo.png", try photograph.png())
        let model = try fixture.model()
        let (shape, sampler) = (model.configuration.input, try model.study())
        let context = Context(
            of: Photograph(name: "photo", raster: photograph), at: PatchPosition(x: 29, y: 0), shape: shape,
            margin: sampler.ranges.margin(around: shape))
        func expected(seed: UInt64, _ steps: TransformationSteps) throws -> Raster {
            let draws = (0..<6).map { sampler.draw(seed: seed, index: $0).restricted(to: steps) }
            let patches = model.transformedPixels(context, [.identity] + draws).compactMap {
                Raster(height: 12, width: 12, channels: .rgb, pixels: $0)
            }
            return try #require(ContactSheet(columns: 3, enlargement: 2).draw(patches))
        }
        let all = try sheet([], fixture, folder)
        #expect(try all == expected(seed: 1, .all))
        let hue = try sheet(["--steps", "hue"], fixture, folder)
        #expect(try hue == expected(seed: 1, .hue) && hue != all)
        let second = try sheet(["--seed", "2"], fixture, folder)
        #expect(try second == expected(seed: 2, .all) && second != all)
    }

    /// Seven patches of the folder's photograph, three in a row.
    private func sheet(
        _ options: [String], _ fixture: StudyFixture, _ folder: TemporaryFolder
    ) throws -> Raster {
        let output = folder.file("sheet.png")
        let command = ["surrogates", folder.path + "/photo.png", "--model", fixture.folder.path, "-o", output]
        #expect(
            run(command + ["--patch", "29,0", "--count", "7", "--columns", "3", "--enlarge", "2"] + options) == 0)
        return try raster(output)
    }

    @Test func misuseIsExplained() throws {
        let model = try StudyFixture().folder.path
        let folder = try TemporaryFolder()
        try folder.write("photo.png", try LocalEmbeddingTests.photograph(height: 30, width: 41, seed: 1).png())
        let photo = folder.path + "/photo.png"
        let sheet = ["surrogates", photo, "--model", model, "-o", folder.file("sheet.png")]
        for wrong in [
            [], ["--patch", "1"], ["--patch", "1,1", "--steps", "translation,colour"],
            ["--patch", "1,1", "--count", "0"],
            ["--patch", "1,1", photo],
        ] {
            #expect(run(sheet + wrong) == 64, "\(wrong)")
        }
        #expect(run(sheet + ["--patch", "30,1"]) == 1)
        let steps = #expect(throws: CommandError.self) { try TransformationSteps("hue,rotatoin") }
        #expect(steps?.message.hasSuffix("did you mean rotation?") == true)
        #expect(try TransformationSteps("hue,scale") == [.hue, .scale])
        #expect(run(["bound", "--model", model, "--draws", "1"]) == 64)
        #expect(run(["bound", "--model", model, "--plot", ""]) == 64)
        #expect(run(["help", "--help"]) == 64)
        let help = #expect(throws: CommandError.self) { try Exemplar.command("--help") }
        #expect(help?.message == "there is no option --help")
        #expect(run(["invariance", "--model", model, "--count", "1"]) == 64)
    }

    @Test func exemplarsThatAreNoneAreExplained() throws {
        let fixture = try StudyFixture()
        let model = try fixture.model()
        func message(_ path: String? = nil) -> String {
            let error = #expect(throws: CommandError.self) {
                let exemplars = try ExemplarSet(path, model: model, folder: fixture.folder.path, count: 9)
                _ = try Study(model: model, exemplars: exemplars, sampler: model.study(), seed: 1, threads: 1).bound(
                    draws: 2)
            }
            return error?.message ?? ""
        }
        try fixture.write(rows: [0, 1, 2, 3, 4, 5, 6, 20])
        #expect(message().contains("index names row 20; the head of study has 20 rows"))
        try fixture.write(rows: [0, 1, 2, 3, 4, 5, 6, -1])
        #expect(message().contains("index names row -1"))
        try fixture.write(rows: [0, 1, 2, 3, 4, 5, 6, 6])
        #expect(message().contains("twice"))
        try fixture.write(rows: [0, 1])
        #expect(message().contains("the tensor index is I32 [2]; it must be I32 [8]"))
        try fixture.folder.write("exemplars.safetensors", Array("no tensors".utf8))
        #expect(message().contains("exemplars.safetensors"))
        #expect(message("/nonexistent").hasPrefix("/nonexistent does not exist"))

        // They are nobody's rows where there is no head, which is what is wrong then.
        let headless = try TemporaryModel(.random(StudyFixture.configuration(head: false), seed: 1))
        let path = fixture.folder.path + "/exemplars.safetensors"
        try fixture.write(rows: fixture.rows)
        let other = try LocalNetwork(folder: headless.path).network
        let exemplars = try ExemplarSet(path, model: other, folder: headless.path, count: 9)
        #expect(exemplars.rows == nil && exemplars.contexts.count == 8)
        #expect(run(["invariance", "--model", headless.path, "--exemplars", path, "--count", "2"]) == 0)

        let folder = try TemporaryFolder()
        #expect(message(folder.path).contains("has no photographs"))
        try folder.write("photo.png", try LocalEmbeddingTests.photograph(height: 30, width: 41, seed: 1).png())
        #expect(message(folder.path).contains("`exemplar invariance`"))
        try folder.write("small.png", try LocalEmbeddingTests.photograph(height: 11, width: 41, seed: 1).png())
        #expect(message(folder.path).contains("small.png is smaller than the patch of 12×12"))
    }

    @Test func photographsShareThePatches() throws {
        let fixture = try StudyFixture()
        let folder = try TemporaryFolder()
        try folder.write("a.png", try LocalEmbeddingTests.photograph(height: 30, width: 41, seed: 1).png())
        try folder.write("b.png", try LocalEmbeddingTests.photograph(height: 12, width: 12, seed: 2).png())
        try folder.write("c.txt", [])
        func count(_ most: Int) throws -> Int {
            let exemplars = try ExemplarSet(
                folder.path, model: fixture.model(), folder: fixture.folder.path, count: most)
            #expect(exemplars.rows == nil)
            return exemplars.contexts.count
        }
        // Six patches lie side by side in the first, and the second is one.
        #expect(try [1, 2, 4, 100].map(count) == [1, 2, 3, 7])
    }

    @Test func modelsThatLackSomethingAreExplained() throws {
        func message(_ configuration: NetworkConfiguration) throws -> String {
            let folder = try TemporaryModel(.random(configuration, seed: 1))
            let model = try LocalNetwork(folder: folder.path).network
            let exemplars = ExemplarSet(contexts: [], rows: [])
            let error = #expect(throws: CommandError.self) {
                try Study(model: model, exemplars: exemplars, sampler: model.study(), seed: 1, threads: 1).bound(
                    draws: 2)
            }
            return error?.message ?? ""
        }
        #expect(try message(StudyFixture.configuration(head: false)).contains("study has no head in its config.json"))
        #expect(
            try message(StudyFixture.configuration(transformations: nil)).contains("study has no `transformations`"))
        var grey = StudyFixture.ranges
        grey.color = nil
        let folder = try TemporaryModel(.random(StudyFixture.configuration(transformations: grey), seed: 1))
        let error = #expect(throws: CommandError.self) {
            try LocalNetwork(folder: folder.path).network.study([.hue, .color])
        }
        #expect(error?.message.contains("no range for the step color") == true)
    }

    @Test func studiesOnFiles() throws {
        let fixture = try StudyFixture()
        let folder = try TemporaryFolder()
        let plot = folder.file("plot.svg")
        #expect(run(["bound", "--model", fixture.folder.path, "--draws", "4", "--json", "--plot", plot]) == 0)
        #expect(String(decoding: try contents(plot), as: UTF8.self).contains("Bound on I(x; ĝ_K)"))
        let photographs = try TemporaryFolder()
        try photographs.write("photo.png", try LocalEmbeddingTests.photograph(height: 30, width: 41, seed: 1).png())
        #expect(
            run([
                "invariance", "--model", fixture.folder.path, "--exemplars", photographs.path, "--count", "3", "--json",
                "--plot", plot,
            ]) == 0)
        #expect(String(decoding: try contents(plot), as: UTF8.self).contains("translation"))
    }

    @Test func aContextIsThePhotographAndItsMirrorImage() throws {
        #expect((-4..<8).map { Context.reflected($0, 4) } == [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1])
        #expect(Context.reflected(-5, 1) == 0)
        let release = TransformationRanges(
            translation: 0.25, scale: 2.0.squareRoot() / 2...2.0.squareRoot(), rotationDegrees: 20, contrast: nil,
            color: nil, hue: nil, border: .reflect)
        #expect(release.margin(around: .init(height: 32, width: 32, channels: 3)) == (21, 21))
        let photograph = Photograph(
            name: "p", raster: try LocalEmbeddingTests.photograph(height: 9, width: 14, seed: 3))
        let context = Context(
            of: photograph, at: PatchPosition(x: 12, y: 0), shape: .init(height: 2, width: 2, channels: 3),
            margin: (rows: 3, columns: 4))
        #expect((context.height, context.width) == (8, 10))
        for y in 0..<8 {
            for x in 0..<10 {
                let source = (abs(y - 3) * 14 + (x + 8 < 14 ? x + 8 : 26 - (x + 8))) * 3
                let place = (y * 10 + x) * 3
                #expect(context.pixels[place..<place + 3] == photograph.raster.pixels[source..<source + 3])
            }
        }
    }

    @Test func beyondThePatchIsTheBorderOfTheModel() throws {
        let fixture = try StudyFixture(border: .zero)
        let patch = fixture.patches[0]
        let alpha = Transformation(translationX: 0.3, translationY: -0.2, rotationDegrees: 15)
        let oracle = OracleTransformation(
            source: patch.pixels.map { Double($0) / 255 }, height: 12, width: 12, channels: 3)
        let expected = oracle.patch(height: 12, width: 12, alpha, .zero).map { Int(($0.value * 255).rounded()) }
        let actual = try #require(try fixture.model().transformedPixels(patch, [alpha]).first)
        // Halves may be rounded to either side.
        #expect(actual.count == 432 && zip(actual, expected).allSatisfy { abs(Int($0) - $1) <= 1 })
    }

    @Test func everyStudyTakesTheBorderOfTheModel() throws {
        func measured(_ border: TransformationBorder) throws -> [MeanInterval] {
            let fixture = try StudyFixture(border: border)
            let model = try fixture.model()
            let study = Study(
                model: model, exemplars: ExemplarSet(contexts: fixture.patches, rows: fixture.rows),
                sampler: try model.study(), seed: 7, threads: 2)
            let (bound, layers, invariance) = try (study.bound(draws: 2), study.layerBounds(), study.invariance())
            // Of every place that transforms patches: the last is ĝ's, around patches as they are.
            return [
                bound.sample.bound, layers.layers[0].kernel, layers.combined.bound,
                invariance.steps[0].curves[0].distances[3], invariance.noise[0].distance,
            ]
        }
        for (place, (zero, reflect)) in zip(try measured(.zero), try measured(.reflect)).enumerated() {
            #expect(zero != reflect, "\(place)")
        }
    }
}

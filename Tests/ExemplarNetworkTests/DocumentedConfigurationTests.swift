import FoundationEssentials
import Testing
import Transformations

@testable import ExemplarNetwork

/// docs/model-format.md shows a whole `config.json`: it has to be one.
@Suite struct DocumentedConfigurationTests {
    @Test func theConfigurationInTheDocumentIsValid() throws {
        let repository = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let document = try String(
            contentsOf: repository.appending(path: "docs/model-format.md"), encoding: .utf8)
        let opening = try #require(document.firstRange(of: "```json\n"))
        let closing = try #require(document[opening.upperBound...].firstRange(of: "```"))
        let text = Array(document[opening.upperBound..<closing.lowerBound].utf8)
        let configuration = try text.withUnsafeBytes { try NetworkConfiguration.parse($0) }
        #expect(configuration.layers.map(\.name) == ["conv1", "pool1", "fc", "head"])
        #expect(configuration.embedding == "fc")
        #expect(configuration.transformations?.contrast?.sigma == [1, 1, 0.5])
        #expect(configuration.featureScales.count == 2)
    }
}

import Testing

@testable import exemplar

@Suite struct ParsedArgumentsTests {
    static let options = [
        Option("port", "PORT", environment: "EXEMPLAR_PORT", default: "7350", help: ""),
        Option("patch", "X,Y", repeats: true, help: ""),
        Option("output", letter: "o", "FILE", help: ""),
        Option("json", environment: "EXEMPLAR_JSON", help: ""),
        Option("color", "WORD", help: ""),
    ]

    func parse(
        _ arguments: [String], operands: Operands = .several("FILE"), environment: [String: String] = [:]
    ) throws(CommandError) -> ParsedArguments {
        try ParsedArguments(
            arguments, options: ParsedArgumentsTests.options, operands: operands, environment: environment)
    }

    @Test func everyWayToWriteAnOption() throws {
        let parsed = try parse(["a", "--port", "1", "--patch=1,2", "-o", "x=y", "--patch", "3,4", "--json", "b"])
        #expect(parsed.operands == ["a", "b"])
        #expect(parsed.value("port") == "1")
        #expect(parsed.values("patch") == ["1,2", "3,4"])
        #expect(parsed.value("output") == "x=y")
        #expect(try parsed.isOn("json"))
    }

    @Test func twoDashesEndTheOptionsAndOneDashIsAnOperand() throws {
        let parsed = try parse(["-", "--", "--port", "-o"])
        #expect(parsed.operands == ["-", "--port", "-o"])
        #expect(!parsed.isGiven("port"))
    }

    @Test func whereOneOperandIsExpected() throws {
        #expect(try parse(["a"], operands: .one("FILE")).operands == ["a"])
        for (arguments, message) in [([], "no FILE given"), (["a", "b"], "one FILE is expected, and 'b' is another")] {
            let error = #expect(throws: CommandError.self) { try parse(arguments, operands: .one("FILE")) }
            #expect(error == .usage(message))
        }
    }

    @Test func flagOverEnvironmentOverDefault() throws {
        #expect(try parse(["a"]).value("port") == "7350")
        #expect(try parse(["a"], environment: ["EXEMPLAR_PORT": "2"]).value("port") == "2")
        #expect(try parse(["a", "--port", "3"], environment: ["EXEMPLAR_PORT": "2"]).value("port") == "3")
        #expect(try parse(["a"], environment: ["EXEMPLAR_PORT": ""]).value("port") == "7350")
    }

    @Test(arguments: [("1", true), ("true", true), ("0", false), ("no", false)])
    func aSwitchInTheEnvironment(text: String, isOn: Bool) throws {
        #expect(try parse(["a"], environment: ["EXEMPLAR_JSON": text]).isOn("json") == isOn)
    }

    @Test func errorsSayWhatToDo() {
        func expectUsage(
            _ message: String, _ arguments: [String], operands: Operands = .several("FILE"),
            location: SourceLocation = #_sourceLocation
        ) {
            let error = #expect(throws: CommandError.self, sourceLocation: location) {
                try parse(arguments, operands: operands)
            }
            #expect(error == .usage(message), sourceLocation: location)
        }
        expectUsage("there is no option --prot; did you mean --port?", ["a", "--prot", "1"])
        expectUsage("there is no option --unrelated", ["a", "--unrelated"])
        expectUsage("--port needs a value: --port PORT", ["a", "--port"])
        expectUsage("--json takes no value", ["a", "--json=yes"])
        expectUsage("--port was given twice", ["a", "--port", "1", "--port", "1"])
        expectUsage("no FILE given", [])
        expectUsage("'a' is not an option, and nothing else is expected here", ["a"], operands: .none)
    }

    @Test func wrongValuesNameTheirOrigin() throws {
        let flag = try parse(["a", "--port", "x"])
        #expect(throws: CommandError.usage("--port is 'x'; it must be a whole number from 1 to 9")) {
            try flag.integer("port", in: 1...9)
        }
        let variable = try parse(["a"], environment: ["EXEMPLAR_PORT": "10", "EXEMPLAR_JSON": "perhaps"])
        #expect(throws: CommandError.usage("EXEMPLAR_PORT is '10'; it must be a whole number from 1 to 9")) {
            try variable.integer("port", in: 1...9)
        }
        #expect(throws: CommandError.usage("EXEMPLAR_JSON is 'perhaps'; it must be 1 or 0")) {
            try variable.isOn("json")
        }
    }

    enum Color: String, CaseIterable {
        case red
        case green
    }

    @Test func choices() throws {
        #expect(try parse(["a", "--color", "green"]).optionalChoice("color", of: Color.self) == .green)
        #expect(try parse(["a"]).optionalChoice("color", of: Color.self) == nil)
        #expect(throws: CommandError.usage("--color is 'gren'; it must be one of red, green; did you mean green?")) {
            try parse(["a", "--color", "gren"]).optionalChoice("color", of: Color.self)
        }
    }

    @Test func helpIsFoundAnywhereBeforeTwoDashes() {
        #expect(ParsedArguments.asksForHelp(["x", "--nonsense", "-h"]))
        #expect(!ParsedArguments.asksForHelp(["x", "--", "--help"]))
    }
}

@Suite struct SuggestionTests {
    @Test(arguments: [
        ("serve", "serve", 0), ("sreve", "serve", 1), ("serv", "serve", 1), ("", "abc", 3), ("ab", "cd", 2),
    ])
    func distances(a: String, b: String, distance: Int) {
        #expect(editDistance(a, b) == distance)
        #expect(editDistance(b, a) == distance)
    }

    @Test func onlyNearWordsAreSuggested() {
        #expect(didYouMean("embde", among: ["serve", "embed"]) == "; did you mean embed?")
        #expect(didYouMean("train", among: ["serve", "embed"]) == "")
        #expect(didYouMean("x", among: []) == "")
    }
}

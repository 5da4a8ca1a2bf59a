extension Request {
    /// Reads the parameters of `method`.
    init(_ method: Method, _ parameters: Parameters) throws(ResponseError) {
        switch method {
        case .embed: self = .embed(try EmbedRequest(parameters))
        case .classify: self = .classify(try ClassifyRequest(parameters))
        case .transform: self = .transform(try TransformRequest(parameters))
        case .model:
            try parameters.allow(["model"])
            self = .model(name: try parameters.string("model"))
        case .auth:
            try parameters.allow(["token"])
            self = .auth(token: try parameters.required("token", try parameters.string("token")))
        case .models, .ready, .live, .stats:
            try parameters.allow([])
            self =
                switch method {
                case .models: .models
                case .ready: .ready
                case .live: .live
                default: .stats
                }
        }
    }
}

extension EmbedRequest {
    private static let names = [
        "patches", "images", "dtype", "shape", "model", "layers", "pool", "transform", "normalize", "encoding",
        "deadline_ms",
    ]

    fileprivate init(_ parameters: Parameters) throws(ResponseError) {
        try parameters.allow(Self.names)
        inputs = try InputEntries(parameters)
        model = try parameters.string("model")
        layers = try Layers(parameters)
        pool = try parameters.choice("pool", default: .none)
        transform = try TransformOptions(parameters)
        normalize = try parameters.choice("normalize", default: .none)
        encoding = try parameters.choice("encoding", default: .base64)
        deadline = try parameters.deadline()
    }
}

extension ClassifyRequest {
    private static let names = ["patches", "images", "dtype", "shape", "model", "transform", "top", "deadline_ms"]

    fileprivate init(_ parameters: Parameters) throws(ResponseError) {
        try parameters.allow(Self.names)
        inputs = try InputEntries(parameters)
        model = try parameters.string("model")
        transform = try TransformOptions(parameters)
        top = try parameters.int("top", in: 1...1_000_000) ?? 5
        deadline = try parameters.deadline()
    }
}

extension TransformRequest {
    private static let names = ["patches", "dtype", "shape", "model", "transform", "deadline_ms"]

    fileprivate init(_ parameters: Parameters) throws(ResponseError) {
        try parameters.allow(Self.names)
        inputs = try InputEntries(parameters, takesImages: false)
        model = try parameters.string("model")
        transform = try parameters.required("transform", try TransformOptions(parameters))
        deadline = try parameters.deadline()
    }
}

extension InputEntries {
    fileprivate init(_ parameters: Parameters, takesImages: Bool = true) throws(ResponseError) {
        let isImages = parameters.has("images")
        guard parameters.has("patches") != isImages else {
            throw parameters.invalid(
                "patches", takesImages ? "or `images` must be given, and not both." : "must be given.")
        }
        let name = isImages ? "images" : "patches"
        let elements = try parameters.elements(
            name, atMost: parameters.maxEntries,
            advice: ", as many as the queue ever holds: split the request, or raise the server's --queue")
        guard let elements else {
            throw parameters.invalid(name, "must be an array of base64 strings.")
        }
        var entries: [EncodedString] = []
        for element in elements {
            guard let entry = element.stringSlice else {
                throw parameters.invalid(name, "must be an array of base64 strings; entry \(entries.count) is none.")
            }
            entries.append(entry)
        }
        if entries.isEmpty { throw parameters.invalid(name, "must hold at least one entry.") }
        if isImages {
            try parameters.refuse(["dtype", "shape"], with: "`images`, which say so themselves")
            self.init(kind: .images, entries: entries)
        } else {
            let type = try parameters.choice("dtype", default: ElementType.u8)
            self.init(kind: .patches(type, shape: try Shape(parameters)), entries: entries)
        }
    }
}

extension InputEntries.Shape {
    fileprivate init?(_ parameters: Parameters) throws(ResponseError) {
        guard let node = parameters.node("shape") else { return nil }
        let sizes = node.elements.map { $0.prefix(4).map(\.int) } ?? []
        let valid = sizes.compactMap { $0.flatMap { (1...65_536).contains($0) ? $0 : nil } }
        guard sizes.count == 3, valid.count == 3 else {
            throw parameters.invalid(
                "shape", "must be [H, W, C]: rows, columns and channels, whole numbers from 1 to 65536.")
        }
        self.init(height: valid[0], width: valid[1], channels: valid[2])
    }
}

extension EmbedRequest.Layers {
    /// Names in one request, repeats among them.
    private static let maxNames = 256

    fileprivate init(_ parameters: Parameters) throws(ResponseError) {
        guard let node = parameters.node("layers") else {
            self = .embedding
            return
        }
        if node.isString("all") {
            self = .all
            return
        }
        let elements = try parameters.elements("layers", atMost: Self.maxNames).map { $0.map(\.string) } ?? []
        let names = elements.compactMap(\.self)
        guard !names.isEmpty, names.count == elements.count else {
            throw parameters.invalid("layers", "must be \"all\" or an array of at least one layer name.")
        }
        self = .named(names)
    }
}

extension Parameters {
    /// `deadline_ms` as a duration; more than 31 years are as good as 31 years.
    fileprivate func deadline() throws(ResponseError) -> Duration? {
        guard let milliseconds = try double("deadline_ms") else { return nil }
        guard milliseconds >= 0 else { throw invalid("deadline_ms", "must be 0 or more milliseconds.") }
        return .microseconds(Int64(min(milliseconds, 1e12) * 1000))
    }
}

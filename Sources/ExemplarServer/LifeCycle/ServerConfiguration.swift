public import ExemplarNetwork

/// Everything that `exemplar serve` can be told. Every member is a flag of the command line and a variable of the
/// environment, EXEMPLAR_ and its name.
public struct ServerConfiguration: Sendable {
    /// Where models come from.
    public enum Models: Sendable, Equatable {
        /// Every sub-folder that has a `config.json`.
        case folder(String)
        /// One model's own folder.
        case single(String)
    }

    public var models: Models
    /// The model that answers where a request names none; nil for the first by name.
    public var defaultModel: String?
    /// The address to listen on: a name or a number, IPv4 or IPv6.
    public var host = "127.0.0.1"
    /// 0 picks a free port.
    public var port: UInt16 = 7350
    /// The path of a Unix domain socket, which only its owner may use.
    public var unixPath: String?
    /// Worker threads; nil for one on every usable core.
    public var threads: Int?
    /// Threads that read requests and send replies; nil for as many as `threads` keep busy.
    public var eventLoops: Int?
    /// The most bytes of memory that the server may plan for; nil for the process's own limit.
    public var memoryLimit: Int?
    public var options = ModelOptions()
    /// The most patches in one forward pass.
    public var maxBatch = 64
    /// The most patches that wait, and the most of larger images, by their area.
    public var queue = 4096
    /// The longest batch that the event loop computes itself, where all workers are idle: so long it reads nothing.
    public var briefBatch: Duration = .milliseconds(2)
    public var maxConnections = 1024
    public var maxLineBytes = 4 << 20
    public var maxReplyBytes = 64 << 20
    /// The most pixels of one image or context: 1024 × 1024.
    public var maxPixels = 1 << 20
    /// How long a line that was begun may rest without a new byte.
    public var readTimeout: Duration = .seconds(5)
    /// How long one line may take from its first byte to its last.
    public var lineTimeout: Duration = .seconds(60)
    /// How long a client may accept no byte of a reply.
    public var writeTimeout: Duration = .seconds(10)
    /// How long a connection may stand without a request; nil for ever.
    public var idleTimeout: Duration?
    /// How long a connection may stand without having shown the token, where there is one; nil for ever.
    public var authTimeout: Duration? = .seconds(10)
    /// How long what was admitted may take once the server was told to end.
    public var drainTimeout: Duration = .seconds(10)
    /// A batch that has not got on for longer than this means that the workers make no progress.
    public var progressTimeout: Duration = .seconds(30)
    /// The file whose first line is the token that clients must send with `auth`.
    public var tokenFile: String?
    /// Whether to listen beyond this machine without a token.
    public var isInsecure = false
    /// The port of the metrics, on `host`; nil for none.
    public var metricsPort: UInt16?
    public var logFormat = Log.Format.text
    public var logLevel = Log.Level.info

    public init(models: Models) {
        self.models = models
    }

    /// Worker threads that one event loop feeds with requests of a single patch.
    public static let threadsOfLoop = 4
    public static let mostEventLoops = 64

    static func eventLoops(threads: Int) -> Int { min(mostEventLoops, max(1, threads / threadsOfLoop)) }

    /// The longest line before `auth` where there is a token, beside the token itself: room for a request of some
    /// patches, so that its answer has its id.
    static let unauthorizedLineBytes = 32 << 10
    /// Tokens of fewer bytes can be guessed.
    static let shortToken = 16
    /// Requests of one connection that are handled before the others have their turn; a JSON-RPC batch is not divided.
    static let requestsPerTurn = 256
    /// Wrong tokens that a connection may send.
    static let maxWrongTokens = 3
    /// How long a finished connection waits for its client to close.
    static let lingerTimeout = Duration.milliseconds(500)
    /// How long a connection that rests keeps the storage of its last line for the next.
    static let storageTimeout = Duration.seconds(1)
    /// Requests of one connection that may be answered at the same time; beyond it the connection is not read.
    static let maxInFlight = 1024
    /// Bytes of replies that may wait for one connection before it is not read any more.
    static let maxPendingOutput = 16 << 20
    /// Bytes of the longest reply that the event loop writes itself.
    static let briefReply = 64 << 10
    /// Files and sockets that the server has open beside its connections and its loops' own, with some to spare.
    static let ownDescriptors = 100
    /// Bytes of replies that any connection may have waiting while those of all together hold `crowdedOutput`; and of a
    /// line that has begun, whatever others hold.
    static let fairShare = 64 << 10
    static let crowdedOutput = 256 << 20
    /// Storage that a connection keeps for its next replies, in bytes.
    static let keptOutput = 16 << 10
    /// Bytes of a reply for which there is always room: an error.
    static let shortReply = 256
}

/// Why a server cannot start: one sentence that says what to do.
public struct ServerError: Error, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

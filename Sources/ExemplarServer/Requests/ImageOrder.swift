import Batching
import ExemplarNetwork
import Images
import JSONRPC

/// A request whose images are still encoded: decoding takes milliseconds, so the event loop has a thread for it.
struct ImageOrder: Sendable {
    let origin: Origin
    let model: Model
    /// The files, out of their base64.
    let files: [[UInt8]]
    /// The files' part of the server's memory.
    let lease: MemoryBudget.Lease
    let maximumPixels: Int
    /// The most pixels of all files together; nil where they are not what the queue counts.
    let totalPixels: Int?
    /// Of the files and the id, and what the order itself takes.
    let byteCount: Int
    /// What an order takes beside its files and its id, and each file beside its bytes, at most.
    static let ownByteCount = 1024
    static let fileByteCount = 64
    /// Checks the sizes that the headers say, and takes the memory for the pixels and for decoding one file at a time,
    /// before any is decoded; then makes the task.
    let prepare: @Sendable (_ sizes: Sizes) throws(ResponseError) -> @Sendable (InputBlock) -> InferenceTask

    /// Where it comes from, and what its connection is owed for it.
    struct Origin: Sendable {
        let address: ReplyAddress
        let deadline: ContinuousClock.Instant?
        /// Bytes of the reply, at most.
        let replyByteCount: Int
    }

    /// What decoding will take.
    struct Sizes {
        var entries: [InputBlock.Entry] = []
        /// Bytes of all pixels, as the task holds them.
        var pixels = 0
        /// Bytes that decoding the file takes that needs most.
        var decoding = 0
    }

    private static func tooManyPixels(_ limit: Int) -> ResponseError {
        .invalidParameter(
            "images",
            "The images have more than \(limit) pixels together, the area of as many patches as the queue holds: "
                + "send fewer at a time, or raise the server's --queue.")
    }

    /// How far the order has got. Unchecked: it belongs to the thread that decodes.
    private final class Progress: @unchecked Sendable {
        /// The pixels' place and what becomes of them, once every header is read and there is memory.
        var pixels: (block: InputBlock, channels: Raster.Channels, makeTask: (InputBlock) -> InferenceTask)?
        var failure: ResponseError?
    }

    private let progress = Progress()

    /// Why the order cannot be done, once that is known.
    var failure: ResponseError? { progress.failure }

    /// Decodes some of the files; before the first, reads every header and takes the memory.
    ///
    /// - Parameter isWanted: asked before each file: of thousands, what nobody waits for any more is left.
    func decode(_ files: Range<Int>, isWanted: () -> Bool) {
        do throws(ResponseError) {
            if progress.pixels == nil { try begin(isWanted) }
            guard let (block, channels, _) = progress.pixels else { return }
            for index in files {
                guard isWanted() else { throw .deadlineExceeded }
                block.put(try image(index, channels), at: index)
            }
        } catch {
            progress.failure = error
            progress.pixels = nil
        }
    }

    /// What came of it, once every file has had its turn.
    func result() -> Result<InferenceTask, ResponseError> {
        if let failure = progress.failure { return .failure(failure) }
        guard let (block, _, makeTask) = progress.pixels else { return .failure(.deadlineExceeded) }
        return .success(makeTask(block))
    }

    private func begin(_ isWanted: () -> Bool) throws(ResponseError) {
        let patch = model.configuration.input
        guard let channels = Raster.Channels(rawValue: patch.channels) else {
            throw ResponseError(
                .notSupported,
                "\(model.configuration.name) takes \(patch.channels) channels, which image files do not have.")
        }
        let sizes = try sizes(channels, isWanted)
        let makeTask = try prepare(sizes)
        progress.pixels = (InputBlock(sizes.entries, channels: channels), channels, makeTask)
    }

    private func image(_ index: Int, _ channels: Raster.Channels) throws(ResponseError) -> Raster {
        do throws(ImageError) {
            return try Raster(decoding: files[index], as: channels, maximumPixels: maximumPixels)
        } catch {
            throw bad(index, error.description)
        }
    }

    /// What the headers say.
    private func sizes(_ channels: Raster.Channels, _ isWanted: () -> Bool) throws(ResponseError) -> Sizes {
        let patch = model.configuration.input
        var sizes = Sizes()
        var total = 0
        for (index, file) in files.enumerated() {
            guard isWanted() else { throw .deadlineExceeded }
            let header: ImageHeader
            do {
                header = try ImageHeader(of: file, maximumPixels: maximumPixels)
            } catch {
                throw bad(index, error.description)
            }
            total += header.height * header.width
            if let totalPixels, total > totalPixels { throw Self.tooManyPixels(totalPixels) }
            guard header.height >= patch.height, header.width >= patch.width else {
                throw bad(
                    index,
                    "The image is \(header.width)×\(header.height) (width by height), smaller than the patch of "
                        + "\(patch.width)×\(patch.height).")
            }
            sizes.entries.append(
                InputBlock.Entry(height: header.height, width: header.width, offset: sizes.pixels))
            sizes.pixels += header.height * header.width * channels.count
            sizes.decoding = max(sizes.decoding, header.decodingByteCount(as: channels))
        }
        return sizes
    }

    private func bad(_ index: Int, _ reason: String) -> ResponseError {
        ResponseError(.badImage, "Entry \(index) of `images`: \(reason)", data: [.init("index", .int(index))])
    }
}

/// Turns are taken by files, since a few kilobytes may take a tenth of a second.
extension ImageOrder: BatchJob {
    /// All are decoded alike.
    enum Key: BatchKey {
        case file

        var sharedBatch: Int { 0 }
    }

    var connection: ConnectionID { origin.address.connection }
    var key: Key { .file }
    var patchCount: Int { files.count }
}

extension ResponseError {
    /// Something is full; `sentence` gets the milliseconds after which to try again, which clients are told apart too.
    static func overloaded(_ retryAfter: Duration, _ sentence: (Int) -> String) -> ResponseError {
        let milliseconds = Int((retryAfter / .milliseconds(1)).rounded(.up))
        return ResponseError(
            .overloaded, sentence(milliseconds), data: [.init("retry_after_ms", .int(milliseconds))])
    }

    static let deadlineExceeded = ResponseError(
        .deadlineExceeded, "The deadline passed before the answer was there; allow more time or send less at once.")
}

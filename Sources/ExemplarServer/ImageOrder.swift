import Batching
import ExemplarNetwork
import Images
import JSONRPC

/// A request whose images are still encoded: decoding takes milliseconds, so the event loop has a thread for it.
struct ImageOrder: Sendable {
    let address: ReplyAddress
    let model: Model
    /// The files, out of their base64.
    let files: [[UInt8]]
    /// The files' part of the server's memory.
    let lease: MemoryBudget.Lease
    let maximumPixels: Int
    /// The most pixels of all files together.
    let totalPixels: Int
    let deadline: ContinuousClock.Instant?
    /// Of the files and the id.
    let byteCount: Int
    /// From decoded images to a task.
    let makeTask: @Sendable (InputBlock) throws(ResponseError) -> InferenceTask

    private var tooManyPixels: ResponseError {
        .invalidParameter(
            "images",
            "The images have more than \(totalPixels) pixels together, the area of as many patches as the queue holds: send "
                + "fewer at a time, or raise the server's --queue.")
    }

    /// Decodes every file; each is checked for its size before it is decoded.
    func task() throws(ResponseError) -> InferenceTask {
        let patch = model.configuration.input
        guard let channels = Raster.Channels(rawValue: patch.channels) else {
            throw ResponseError(
                .notSupported,
                "\(model.configuration.name) takes \(patch.channels) channels, which image files do not have.")
        }
        var images: [Raster] = []
        var left = totalPixels
        for (index, file) in files.enumerated() {
            func bad(_ reason: String) -> ResponseError {
                ResponseError(.badImage, "Entry \(index) of `images`: \(reason)", data: [.init("index", .int(index))])
            }
            guard left > 0 else { throw tooManyPixels }
            let image: Raster
            do {
                image = try Raster(decoding: file, as: channels, maximumPixels: min(maximumPixels, left))
            } catch .tooLarge(_, let width, let height, _) where width <= maximumPixels / max(height, 1) {
                throw tooManyPixels
            } catch {
                throw bad(error.description)
            }
            guard image.height >= patch.height, image.width >= patch.width else {
                throw bad(
                    "The image is \(image.width)×\(image.height) (width by height), smaller than the patch of "
                        + "\(patch.width)×\(patch.height).")
            }
            left -= image.height * image.width
            images.append(image)
        }
        return try makeTask(InputBlock(images))
    }
}

/// Turns are taken by requests: one holds no more pixels than the queue has patches for.
extension ImageOrder: BatchJob {
    /// All are decoded alike.
    enum Key: BatchKey {
        case file

        var sharedBatch: Int { 0 }
    }

    var connection: ConnectionID { address.connection }
    var key: Key { .file }
    var patchCount: Int { 1 }
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

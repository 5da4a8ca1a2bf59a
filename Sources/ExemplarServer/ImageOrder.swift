import Batching
import ExemplarNetwork
import Images
import JSONRPC
import Platform

/// A request whose images are still encoded: decoding takes milliseconds, so the event loop has a thread for it.
struct ImageOrder: Sendable {
    let address: ReplyAddress
    let model: Model
    /// The files, out of their base64.
    let files: [[UInt8]]
    let maximumPixels: Int
    /// The most pixels of all files together.
    let totalPixels: Int
    let deadline: ContinuousClock.Instant?
    /// From decoded images to a task.
    let makeTask: @Sendable (InputBlock) throws(ResponseError) -> InferenceTask

    var byteCount: Int { files.reduce(address.id.json.count) { $0 + $1.count } }

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

/// The thread that decodes images, one request after the other.
final class ImageDecoding: Sendable {
    private struct Queue {
        var orders: [ImageOrder] = []
        var byteCount = 0
        var isStopped = false
    }

    /// Encoded bytes that may wait.
    private static let capacity = 64 << 20

    private let queue = Monitor(Queue())
    private let outbox: Outbox

    init(outbox: Outbox) { self.outbox = outbox }

    func start() throws(ServerError) {
        guard startThread({ self.run() }) else { throw ServerError("Cannot start the image thread: \(errorText()).") }
    }

    func stop() {
        queue.withLock { $0.isStopped = true }
        queue.notifyAll()
    }

    /// Takes an order; false where too many wait.
    func submit(_ order: ImageOrder) -> Bool {
        let isTaken = queue.withLock { queue in
            guard queue.byteCount + order.byteCount <= Self.capacity else { return false }
            queue.byteCount += order.byteCount
            queue.orders.append(order)
            return true
        }
        if isTaken { queue.notify() }
        return isTaken
    }

    /// Forgets the orders of a connection that is gone.
    func cancel(_ connection: ConnectionID) {
        queue.withLock { queue in
            queue.orders.removeAll { order in
                guard order.address.connection == connection else { return false }
                queue.byteCount -= order.byteCount
                return true
            }
        }
    }

    private func run() {
        while true {
            let next = queue.wait { queue -> ImageOrder?? in
                if queue.isStopped { return .some(nil) }
                return queue.orders.isEmpty ? nil : .some(queue.orders.removeFirst())
            }
            guard let order = next else { return }
            let isLate = order.deadline.map { $0 < .now } ?? false
            let result = Result { () throws(ResponseError) in
                if isLate { throw .deadlineExceeded }
                return try order.task()
            }
            queue.withLock { $0.byteCount -= order.byteCount }
            outbox.post(.decoded(result, order.address, order.deadline))
        }
    }
}

extension ResponseError {
    static let deadlineExceeded = ResponseError(
        .deadlineExceeded, "The deadline passed before the answer was there; allow more time or send less at once.")
}

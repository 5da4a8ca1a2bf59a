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
    let maximumPixels: Int
    /// The most pixels of all files together.
    let totalPixels: Int
    let deadline: ContinuousClock.Instant?
    /// From decoded images to a task.
    let makeTask: @Sendable (InputBlock) throws(ResponseError) -> InferenceTask

    var byteCount: Int { files.reduce(0) { $0 + $1.count } }

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
            let image: Raster
            do {
                image = try Raster(decoding: file, as: channels, maximumPixels: min(maximumPixels, left))
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

    private func run() {
        while true {
            let orders = queue.wait { queue -> [ImageOrder]? in
                if queue.isStopped { return [] }
                guard !queue.orders.isEmpty else { return nil }
                defer { queue.orders = [] }
                return queue.orders
            }
            if orders.isEmpty { return }
            for order in orders {
                let result = Result { () throws(ResponseError) in try order.task() }
                queue.withLock { $0.byteCount -= order.byteCount }
                outbox.post(.decoded(result, order.address, order.deadline))
            }
        }
    }
}

import Glibc
import Synchronization

@testable import SFTPClient

/// Records what becomes of every file that was taken from it.
final class CountingSink: DownloadSink {
    enum Telling: Equatable {
        case complete
        case wrongSize
        case failed(SFTPError.Code)
    }

    private struct State {
        var items: [DownloadItem]
        var taken: [Int] = []
        var told: [Int: [Telling]] = [:]
    }

    private let state: Mutex<State>
    private let prefix: String

    init(_ items: [DownloadItem], _ prefix: String) {
        state = Mutex(State(items: items.reversed()))
        self.prefix = prefix
    }

    var taken: [Int] { state.withLock { $0.taken.sorted() } }
    var told: [Int: [Telling]] { state.withLock { $0.told } }

    func next() -> DownloadItem? {
        state.withLock { state in
            guard let item = state.items.popLast() else { return nil }
            state.taken.append(item.index)
            return item
        }
    }

    func open(_ item: DownloadItem) -> CInt? {
        Glibc.open(prefix + "\(item.index)", O_RDWR | O_CREAT | O_TRUNC, 0o644)
    }

    func received(bytes: Int) {}

    /// As PlantDB's own sink, it believes nobody: a size that the server takes back is an error.
    func complete(_ item: DownloadItem, descriptor: CInt, attributes: FileAttributes) {
        let size = lseek(descriptor, 0, SEEK_END)
        close(descriptor)
        let isRight = size == off_t(item.size) && attributes.size.map { $0 == item.size } != false
        tell(item, isRight ? .complete : .wrongSize)
    }

    func fail(_ item: DownloadItem, descriptor: CInt?, _ error: SFTPError) {
        if let descriptor { close(descriptor) }
        tell(item, .failed(error.code))
    }

    private func tell(_ item: DownloadItem, _ telling: Telling) {
        state.withLock { $0.told[item.index, default: []].append(telling) }
    }
}

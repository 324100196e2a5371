import Glibc
import Synchronization

@testable import SFTPClient

/// Sends one local file under many names, and records what becomes of every one that was taken.
final class CountingSource: UploadSource {
    private struct State {
        var items: [UploadItem]
        var taken: [Int] = []
        var told: [Int: [CountingSink.Telling]] = [:]
    }

    private let state: Mutex<State>
    private let path: @Sendable (Int) -> String
    private let onSent: @Sendable () -> Void

    init(
        _ items: [UploadItem], onSent: @escaping @Sendable () -> Void = {},
        path: @escaping @Sendable (Int) -> String
    ) {
        state = Mutex(State(items: items.reversed()))
        self.path = path
        self.onSent = onSent
    }

    var taken: [Int] { state.withLock { $0.taken.sorted() } }
    var told: [Int: [CountingSink.Telling]] { state.withLock { $0.told } }

    func next() -> UploadItem? {
        state.withLock { state in
            guard let item = state.items.popLast() else { return nil }
            state.taken.append(item.index)
            return item
        }
    }

    func open(_ item: UploadItem) -> CInt? { Glibc.open(path(item.index), O_RDONLY) }
    func sent(bytes: Int) { onSent() }

    func complete(_ item: UploadItem, descriptor: CInt) {
        close(descriptor)
        tell(item, .complete)
    }

    func fail(_ item: UploadItem, descriptor: CInt?, _ error: SFTPError) {
        if let descriptor { close(descriptor) }
        tell(item, .failed(error.code))
    }

    private func tell(_ item: UploadItem, _ telling: CountingSink.Telling) {
        state.withLock { $0.told[item.index, default: []].append(telling) }
    }
}

/// Which requests wait for an answer, by their numbers: the state of a session, without any
/// input or output.
struct RequestTable<Handler> {
    struct Entry {
        var request: SFTPRequest
        var handler: Handler
    }

    private var entries: [UInt32: Entry] = [:]
    private var lastID: UInt32 = 0

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    /// - Returns: the number that the answer will carry.
    mutating func add(_ request: SFTPRequest, _ handler: Handler) -> UInt32 {
        repeat { lastID &+= 1 } while entries[lastID] != nil
        // The bytes of a write are not needed any more, and may be many.
        var kept = request
        if case .write(let handle, let offset, _) = request {
            kept = .write(handle, offset: offset, .init())
        }
        entries[lastID] = Entry(request: kept, handler: handler)
        return lastID
    }

    /// nil: nobody asked.
    mutating func take(_ id: UInt32) -> Entry? { entries.removeValue(forKey: id) }

    mutating func takeAll() -> [Entry] {
        defer { entries = [:] }
        return Array(entries.values)
    }
}

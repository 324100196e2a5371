import NIOCore
import Synchronization

/// The connections of a server, so that those that only wait keep nobody else out.
///
/// Where there are too many, one of these is closed for the next: first those that have been slow for longest,
/// then those that have been idle for longest.
package final class ConnectionRoster: Sendable {
    enum State: Sendable, Hashable {
        /// No whole head of a request has come.
        case idle(since: NIODeadline)
        /// A request is coming, and from that time on more slowly than it should.
        case sending(slowFrom: NIODeadline)
        /// An answer is not taken.
        case stalled(slowFrom: NIODeadline)
        case atWork
    }

    private struct Entry {
        let channel: any Channel
        var state: State
    }

    private let limit: Int
    private let entries = Mutex<[ObjectIdentifier: Entry]>([:])

    package init(limit: Int) { self.limit = limit }

    /// - Returns: whether there is room, if need be by closing another; false: it is to be refused.
    func admit(_ channel: any Channel, at now: NIODeadline) -> Bool {
        let (isAdmitted, spare) = entries.withLock { entries -> (Bool, (any Channel)?) in
            var spare: (any Channel)?
            if entries.count >= limit {
                spare = Self.takeSpare(from: &entries, at: now)
                guard spare != nil else { return (false, nil) }
            }
            entries[ObjectIdentifier(channel)] = Entry(channel: channel, state: .idle(since: now))
            return (true, spare)
        }
        spare?.triggerUserOutboundEvent(RequestGuard.Event.makeRoom, promise: nil)
        return isAdmitted
    }

    func mark(_ channel: any Channel, _ state: State) {
        entries.withLock { $0[ObjectIdentifier(channel)] = Entry(channel: channel, state: state) }
    }

    func remove(_ channel: any Channel) { entries.withLock { $0[ObjectIdentifier(channel)] = nil } }

    package enum Slowness: Sendable {
        /// Its body is coming.
        case sending
        /// Its answer is not taken.
        case stalled
    }

    /// Ends the request that has been slow for longest, if there is one.
    package func endSlowRequest(_ slowness: Slowness) {
        let spare = entries.withLock { Self.takeSpare(from: &$0, at: .now(), only: slowness) }
        spare?.triggerUserOutboundEvent(RequestGuard.Event.makeRoom, promise: nil)
    }

    private static func takeSpare(
        from entries: inout [ObjectIdentifier: Entry], at now: NIODeadline, only: Slowness? = nil
    ) -> (any Channel)? {
        var best: (id: ObjectIdentifier, isIdle: Bool, time: NIODeadline)?
        for (id, entry) in entries {
            let candidate: (id: ObjectIdentifier, isIdle: Bool, time: NIODeadline)
            switch entry.state {
            case .stalled(let from) where from <= now && only != .sending: candidate = (id, false, from)
            case .sending(let from) where from <= now && only != .stalled: candidate = (id, false, from)
            case .idle(let since) where only == nil: candidate = (id, true, since)
            case .atWork, .stalled, .sending, .idle: continue
            }
            if let best, (best.isIdle ? 1 : 0, best.time) <= (candidate.isIdle ? 1 : 0, candidate.time) {
                continue
            }
            best = candidate
        }
        return best.flatMap { entries.removeValue(forKey: $0.id)?.channel }
    }
}

import Glibc

/// How much a server takes on at once, by the descriptors that its process may have.
///
/// Without a free one the process ends: libdispatch opens `/proc/self/task` now and then to look after its
/// threads, and takes it for a fault of its own where it cannot.
package struct ServerCapacity: Sendable, Hashable {
    /// Further connections take the place of others (``ConnectionRoster``).
    package let connections: Int
    /// Connections that are accepted beyond that, to be told so.
    package static let excess = 32
    /// Requests at work.
    package let requests: Int
    /// Locks and transactions that outlive their requests.
    package let leases: Int

    /// What is never given to connections: for the runtime, the log, the database itself.
    private static let reserve = 64
    /// Of one request at work: the lock, staging, a walk of directories and a file.
    private static let descriptorsOfRequest = 12
    private static let descriptorsOfLease = 4

    /// - Parameter descriptors: how many the process may have open.
    package init(descriptors: Int) {
        let share = max(0, descriptors - Self.reserve - Self.excess) / 3
        connections = min(max(share, 4), 2000)
        // Each may hold a megabyte of an answer that nobody takes.
        requests = min(max(share / Self.descriptorsOfRequest, 4), 256)
        leases = max(share / Self.descriptorsOfLease, 4)
    }

    /// That of this process, whose soft limit is raised as far as the system allows.
    package static func ofThisProcess() -> ServerCapacity {
        var limit = rlimit()
        let resource = __rlimit_resource_t(7)  // RLIMIT_NOFILE of <bits/resource.h>, an enumeration there.
        guard getrlimit(resource, &limit) == 0 else { return ServerCapacity(descriptors: 256) }
        let wanted = min(limit.rlim_max, 65_536)
        if limit.rlim_cur < wanted {
            var raised = limit
            raised.rlim_cur = wanted
            if setrlimit(resource, &raised) == 0 { limit = raised }
        }
        return ServerCapacity(descriptors: Int(min(limit.rlim_cur, 1 << 20)))
    }
}

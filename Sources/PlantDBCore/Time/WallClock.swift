import Glibc

/// The time of day.
package enum WallClock {
    package static var now: ModificationTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return ModificationTime(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
    }

    /// Since 1970-01-01 UTC.
    package static var seconds: Double { Double(now.nanoseconds) / 1e9 }
}

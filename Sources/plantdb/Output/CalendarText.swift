import Glibc
import PlantDBCore

/// Times of day, by the C library's calendar.
enum CalendarText {
    /// `2026-11-23 23:46`, in the user's time zone, as `ls` shows it.
    static func local(_ time: ModificationTime) -> String {
        var parts = tm()
        var seconds = time_t(time.seconds)
        // localtime_r(3) need not read TZ by itself, tzset(3) does.
        tzset()
        guard localtime_r(&seconds, &parts) != nil else { return "–" }
        return "\(date(parts)) \(two(parts.tm_hour)):\(two(parts.tm_min))"
    }

    /// `2026-11-23T23:46:01Z` (RFC 3339).
    static func utc(_ time: ModificationTime) -> String {
        var parts = tm()
        var seconds = time_t(time.seconds)
        guard gmtime_r(&seconds, &parts) != nil else { return "–" }
        return "\(date(parts))T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }

    private static func date(_ parts: tm) -> String {
        "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
    }

    private static func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
}

import Glibc
import PlantDBCore

extension RunID {
    /// A new one: the time in UTC, and four random digits.
    public static func make() -> RunID {
        var seconds = time_t(WallClock.now.seconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func padded(_ number: Int32, _ width: Int = 2) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let day = padded(parts.tm_year + 1900, 4) + padded(parts.tm_mon + 1) + padded(parts.tm_mday)
        let time = padded(parts.tm_hour) + padded(parts.tm_min) + padded(parts.tm_sec)
        let digits = String(UInt16.random(in: .min ... .max), radix: 16)
        return RunID(
            rawValue: "\(day)T\(time)Z-" + String(repeating: "0", count: 4 - digits.count) + digits)
    }
}

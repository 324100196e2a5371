import Glibc
import PlantDBCore
import SyncEngine

extension RunID {
    /// A new one: the time in UTC, then the process, then four random digits.
    static func now() -> RunID {
        let stamp = CalendarText.utc(CalendarText.now).filter { $0.isNumber || $0 == "T" || $0 == "Z" }
        let random = String(UInt16.random(in: .min ... .max), radix: 16)
        return RunID(
            rawValue: "\(stamp)-\(getpid())-" + String(repeating: "0", count: 4 - random.count) + random)
    }
}

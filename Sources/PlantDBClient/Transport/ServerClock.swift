import Glibc
import NIOHTTP1
import PlantDBCore
import Synchronization

/// The time on a server's machine, by the `Date` of its last answer (RFC 9110, section 6.6.1).
final class ServerClock: Sendable {
    private let told = Mutex<(date: ModificationTime, at: ContinuousClock.Instant)?>(nil)

    func note(_ headers: HTTPHeaders) {
        // Upstream's servers say it twice.
        guard let date = headers.first(name: "date").flatMap(Self.parse) else { return }
        told.withLock { $0 = (date, .now) }
    }

    /// Behind by a second at most, and by the way of an answer; nil: no answer has said it.
    var now: ModificationTime? {
        told.withLock { $0 }.map { told in
            let since = (ContinuousClock.now - told.at) / .nanoseconds(1)
            return ModificationTime(nanoseconds: told.date.nanoseconds + Int64(since))
        }
    }

    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7; the older forms are sent by nobody).
    static func parse(_ text: String) -> ModificationTime? {
        let words = text.split { $0 == " " || $0 == "," || $0 == ":" }
        guard words.count == 8, words[7] == "GMT", let month = months.firstIndex(of: String(words[2])) else {
            return nil
        }
        let numbers = [1, 3, 4, 5, 6].compactMap { CInt(words[$0]) }
        guard numbers.count == 5, (1900...9999).contains(numbers[1]) else { return nil }
        var time = tm()
        (time.tm_mday, time.tm_mon, time.tm_year) = (numbers[0], CInt(month), numbers[1] - 1900)
        (time.tm_hour, time.tm_min, time.tm_sec) = (numbers[2], numbers[3], numbers[4])
        return ModificationTime(seconds: Int64(timegm(&time)))
    }
}

import ArgumentParser
import PlantDBCore
import SyncEngine

/// The command line's texts as values; each says what it would have understood.
enum Transforms {
    static func duration(_ text: String) throws(ValidationError) -> Duration {
        guard let duration = Durations.parse(text) else {
            throw ValidationError("“\(text.printable)” is no duration: write 90s, 15m, 2h or 1d")
        }
        return duration
    }

    /// Seconds, with decimals, as nanoseconds.
    static func seconds(_ text: String) throws(ValidationError) -> Int64 {
        guard let seconds = Double(text), seconds >= 0, seconds <= 1e9 else {
            throw ValidationError("“\(text.printable)” is no number of seconds: write 1, 2.5 and the like")
        }
        return Int64((seconds * 1e9).rounded())
    }

    /// `100` files, or `10%`.
    static func deletionLimit(_ text: String) throws(ValidationError) -> SyncOptions.DeletionLimit {
        if text.hasSuffix("%") {
            if let percent = Double(text.dropLast()), (0...100).contains(percent) { return .percent(percent) }
        } else if let files = Int(text), files >= 0 {
            return .files(files)
        }
        throw ValidationError("“\(text.printable)” is no limit: write a number of files, or 0% to 100%")
    }

    /// `500M`, `10G`, `64Gi`: bytes.
    static func size(_ text: String) throws(ValidationError) -> Int64 {
        guard let size = Sizes.parse(text), size > 0 else {
            throw ValidationError("“\(text.printable)” is no size: write 500M, 10G, 64Gi and the like")
        }
        return size
    }

    /// `500k`, `10M`, `1.5G`: bytes a second, in SI units; with an `i` (`10Mi`) in powers of 1024.
    static func rate(_ text: String) throws(ValidationError) -> Int64 {
        guard let rate = Sizes.parse(text), rate >= 1000 else {
            throw ValidationError(
                "“\(text.printable)” is no rate: write bytes a second such as 500k, 10M or 1.5G; 1k is the least"
            )
        }
        return rate
    }

    /// `key=value`; the value may hold further equals signs.
    static func condition(_ text: String) throws(ValidationError) -> MetadataCondition {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
            throw ValidationError(
                "“\(text.printable)” is no condition: write KEY=VALUE, such as object.species=Arabidopsis")
        }
        return MetadataCondition(
            key: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
    }

    static func positive(_ text: String) throws(ValidationError) -> Int {
        guard let number = Int(text), (1...1024).contains(number) else {
            throw ValidationError("“\(text.printable)” is not a number from 1 to 1024")
        }
        return number
    }

    static func count(_ text: String) throws(ValidationError) -> Int {
        guard let number = Int(text), (0...1000).contains(number) else {
            throw ValidationError("“\(text.printable)” is not a number from 0 to 1000")
        }
        return number
    }
}

extension SyncOptions.Verification: ExpressibleByArgument {}
extension SyncOptions.Metadata: ExpressibleByArgument {}
extension TransactionOptions.Durability: ExpressibleByArgument {}

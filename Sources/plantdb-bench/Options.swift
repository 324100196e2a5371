/// The pieces of work that are measured, in the order of the table.
enum Work: String, CaseIterable {
    case large
    case small
    case unchanged
    case memory
    case checksum
    case startup
    case sshLarge = "ssh-large"
    case sshSmall = "ssh-small"
    case sshUnchanged = "ssh-unchanged"
    case sshLatency = "ssh-latency"
    case sshMemory = "ssh-memory"
    case sshAppend = "ssh-append"
    case httpFile = "http-file"
    case httpLarge = "http-large"
    case httpSmall = "http-small"
    case httpUnchanged = "http-unchanged"
    case httpMemory = "http-memory"
    case httpArchive = "http-archive"

    var comparesWithUpstream: Bool { self == .large || self == .small || self == .unchanged }
}

struct UsageError: Error, CustomStringConvertible {
    let description: String
}

struct Options {
    var works = Work.allCases
    /// Measured rounds; one more is run before them and thrown away.
    var rounds = 5
    /// Rounds of the contenders that no target names and that take minutes.
    var slowRounds = 2
    /// 1: the sizes of the documented table. Scales the number of files, not their sizes.
    var scale = 1.0
    var keepsTrees = false
    var directory = ".build/bench"
    var plantdb = ".build/release/plantdb"
    var output: String?

    static let help = """
        usage: plantdb-bench [--only WORK]... [options]

          --only WORK         \(Work.allCases.map(\.rawValue).joined(separator: ", ")); repeat for more
          --rounds N          measured rounds after one warm-up (5)
          --slow-rounds N     the same for rclone and upstream, without a warm-up (2)
          --size-scale X      scale the number of files, 0.01 to 1 (1)
          --directory DIR     where the trees are made (.build/bench); on the disk to measure
          --plantdb FILE      the command to measure (.build/release/plantdb)
          --output FILE       write the table there as well
          --keep              keep the generated trees (several GB) for the next run
        """

    /// nil: help was asked for.
    init?(arguments: [String]) throws(UsageError) {
        var only: [Work] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "-h", "--help": return nil
            case "--keep": keepsTrees = true
            default:
                guard let value = rest.popFirst() else {
                    throw UsageError(description: "\(argument): unknown, or its value is missing; see --help")
                }
                switch argument {
                case "--only":
                    for name in value.split(separator: ",") {
                        guard let work = Work(rawValue: String(name)) else {
                            throw UsageError(description: "--only \(name): no such work; see --help")
                        }
                        only.append(work)
                    }
                case "--rounds": rounds = try Self.number(value, of: argument, in: 1...1000)
                case "--slow-rounds": slowRounds = try Self.number(value, of: argument, in: 0...1000)
                case "--size-scale": scale = try Self.number(value, of: argument, in: 0.01...1)
                case "--directory": directory = value
                case "--plantdb": plantdb = value
                case "--output": output = value
                default: throw UsageError(description: "\(argument): unknown; see --help")
                }
            }
        }
        if !only.isEmpty { works = only }
        slowRounds = min(slowRounds, rounds)
    }

    private static func number<Number: LosslessStringConvertible & Comparable>(
        _ text: String, of option: String, in range: ClosedRange<Number>
    ) throws(UsageError) -> Number {
        guard let number = Number(text), range.contains(number) else {
            throw UsageError(
                description: "\(option) \(text): must be \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}

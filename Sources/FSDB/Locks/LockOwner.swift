import Glibc
import PlantDBCore

/// Who holds a lock of ours: what our `lock` file says.
///
/// Whether the owner lives is not read from here but from the flock(2) that it holds on the
/// file, which the kernel releases when the process ends however it ends. The text says who
/// it is to people, and whether that flock is of this machine at all.
struct LockOwner: Sendable {
    static let programName = "plantdb-swift"

    var host: String
    /// /etc/machine-id, which survives a renamed host and tells apart two of one name.
    var machine: String?
    var process: Int
    var user: String
    var mode: LockMode
    /// Seconds since 1970-01-01 UTC.
    var taken: Double

    static func current(mode: LockMode) -> LockOwner {
        LockOwner(
            host: hostName, machine: machineID, process: Int(getpid()), user: userName,
            mode: mode, taken: now)
    }

    /// nil if the bytes are not of our making: empty (upstream 0.14 writes nothing) or anything else.
    init?(parsing bytes: [UInt8]) {
        let value: JSONValue
        do { value = try JSONValue(parsing: bytes) } catch {
            // Not an error: it is how a lock of somebody else looks.
            return nil
        }
        guard value["program"]?.string == Self.programName, let host = value["host"]?.string,
            let process = value["process"]?.int, let user = value["user"]?.string,
            let mode = value["mode"]?.string.flatMap(LockMode.init(rawValue:)),
            let taken = value["taken"]?.double
        else { return nil }
        self.init(
            host: host, machine: value["machine"]?.string, process: process, user: user, mode: mode,
            taken: taken)
    }

    private init(host: String, machine: String?, process: Int, user: String, mode: LockMode, taken: Double) {
        self.host = host
        self.machine = machine
        self.process = process
        self.user = user
        self.mode = mode
        self.taken = taken
    }

    func encoded() -> [UInt8] {
        var object = JSONObject([
            ("program", .string(Self.programName)), ("host", .string(host)), ("process", .number(process)),
            ("user", .string(user)), ("mode", .string(mode.rawValue)), ("taken", .number(taken)),
        ])
        if let machine { object["machine"] = .string(machine) }
        return JSONValue.object(object).pythonBytes()
    }

    /// Whether flock(2) can tell if the owner lives: it ran on this machine.
    var isOfThisMachine: Bool {
        if let machine, let own = Self.machineID { return machine == own }
        return host == Self.hostName
    }

    /// For messages: program, user, host and process.
    var summary: String { "\(Self.programName), process \(process) of \(user) on \(host)".printable }

    var ageSeconds: Double { max(0, Self.now - taken) }

    /// Seconds since 1970-01-01 UTC.
    static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    static let hostName: String = {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "unknown" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }()

    static let machineID: String? = firstLine(of: "/etc/machine-id")

    static let userName: String = {
        guard let entry = getpwuid(getuid()) else { return "uid \(getuid())" }
        return String(cString: entry.pointee.pw_name)
    }()

    private static func firstLine(of path: String) -> String? {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return nil }
        let line = buffer[..<count].prefix { $0 != UInt8(ascii: "\n") }
        return line.isEmpty ? nil : String(decoding: line, as: UTF8.self)
    }
}

/// “3 min”, for messages.
func ageText(_ seconds: Double) -> String {
    switch seconds {
    case ..<120: "\(Int(seconds)) s"
    case ..<7200: "\(Int(seconds / 60)) min"
    case ..<172_800: "\(Int(seconds / 3600)) h"
    default: "\(Int(seconds / 86400)) days"
    }
}

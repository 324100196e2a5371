import Glibc

/// Who holds a lock of ours: what our `lock` file says.
///
/// Where the file lies on this machine, whether its owner lives is not read from here but from
/// the flock(2) that the owner holds on it, which the kernel releases however the process ends.
/// Where it lies elsewhere, ``isProvenDead`` is all there is.
package struct LockOwner: Sendable {
    package static let programName = "plantdb-swift"

    package var host: String
    /// /etc/machine-id, which survives a renamed host and tells apart two of one name.
    package var machine: String?
    /// A network card's address, which tells apart two machines that were cloned from one disk.
    package var hardware: String?
    /// Whether its owner holds flock(2) on the file for as long as it lives. Over SFTP nobody can.
    package var holdsFlock: Bool
    /// /proc/sys/kernel/random/boot_id: no process outlives its boot.
    package var boot: String?
    /// What its process number counts in: containers of one machine do not see one another's.
    package var processNamespace: String?
    package var process: Int
    /// When the process began, in clock ticks since the boot (proc_pid_stat(5), field 22): its
    /// number may belong to another one by now.
    package var began: Int?
    package var user: String
    package var mode: LockMode
    /// Seconds since 1970-01-01 UTC.
    package var taken: Double

    package static func current(mode: LockMode, holdsFlock: Bool) -> LockOwner {
        LockOwner(
            host: hostName, machine: machineID, hardware: hardwareAddress, holdsFlock: holdsFlock,
            boot: bootID, processNamespace: ownNamespace,
            process: Int(getpid()),
            began: beginning(of: getpid()), user: userName, mode: mode, taken: WallClock.seconds)
    }

    /// nil if the bytes are not of our making: empty (upstream 0.14 writes nothing) or anything else.
    package init?(parsing bytes: [UInt8]) {
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
            host: host, machine: value["machine"]?.string, hardware: value["hardware"]?.string,
            holdsFlock: value["flock"]?.bool ?? false, boot: value["boot"]?.string,
            processNamespace: value["processNamespace"]?.string, process: process,
            began: value["began"]?.int, user: user, mode: mode, taken: taken)
    }

    private init(
        host: String, machine: String?, hardware: String?, holdsFlock: Bool, boot: String?,
        processNamespace: String?, process: Int, began: Int?,
        user: String,
        mode: LockMode,
        taken: Double
    ) {
        self.host = host
        self.machine = machine
        self.hardware = hardware
        self.holdsFlock = holdsFlock
        self.boot = boot
        self.processNamespace = processNamespace
        self.process = process
        self.began = began
        self.user = user
        self.mode = mode
        self.taken = taken
    }

    package func encoded() -> [UInt8] {
        var object = JSONObject([
            ("program", .string(Self.programName)), ("host", .string(host)), ("process", .number(process)),
            ("user", .string(user)), ("mode", .string(mode.rawValue)), ("taken", .number(taken)),
        ])
        if let machine { object["machine"] = .string(machine) }
        if let hardware { object["hardware"] = .string(hardware) }
        if holdsFlock { object["flock"] = .bool(true) }
        if let boot { object["boot"] = .string(boot) }
        if let processNamespace { object["processNamespace"] = .string(processNamespace) }
        if let began { object["began"] = .number(began) }
        return JSONValue.object(object).pythonBytes()
    }

    /// Whether it ran on this machine, as far as can be told. Disks are cloned with their
    /// machine-id, and hosts share names: all that is known must agree. Containers have names and
    /// machine-ids of their own, but the boot of their machine, which no other shares.
    package var isOfThisMachine: Bool {
        if let hardware, let own = Self.hardwareAddress, hardware != own { return false }
        if let boot, let own = Self.bootID, boot == own { return true }
        if let machine, let own = Self.machineID, machine != own { return false }
        return host == Self.hostName
    }

    /// Whether it ran on this machine and certainly does no more.
    package var isProvenDead: Bool {
        guard isOfThisMachine else { return false }
        if let boot, let own = Self.bootID, boot != own { return true }
        guard processNamespace == Self.ownNamespace else { return false }
        if kill(pid_t(truncatingIfNeeded: process), 0) != 0, errno == ESRCH { return true }
        guard let began, let now = Self.beginning(of: pid_t(truncatingIfNeeded: process)) else {
            return false
        }
        return began != now
    }

    /// Whether it does no more, where nobody holds flock(2) on its file.
    package var isDeadWithoutFlock: Bool { holdsFlock || isProvenDead }

    /// For messages: program, user, host and process.
    package var summary: String { "\(Self.programName), process \(process) of \(user) on \(host)".printable }

    package var ageSeconds: Double { max(0, WallClock.seconds - taken) }

    package static let hostName: String = {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "unknown" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }()

    package static let machineID: String? = firstLine(of: "/etc/machine-id")

    /// The lowest address of a card that is one: bridges, tunnels and the like come and go.
    private static let hardwareAddress: String? = {
        guard let directory = opendir("/sys/class/net") else { return nil }
        defer { closedir(directory) }
        var addresses: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard access("/sys/class/net/\(name)/device", F_OK) == 0,
                let address = firstLine(of: "/sys/class/net/\(name)/address")
            else { continue }
            addresses.append(address)
        }
        return addresses.min()
    }()

    package static let userName: String = {
        guard let entry = getpwuid(getuid()) else { return "uid \(getuid())" }
        return String(cString: entry.pointee.pw_name)
    }()

    package static let bootID: String? = firstLine(of: "/proc/sys/kernel/random/boot_id")

    private static let ownNamespace: String? = {
        var buffer = [CChar](repeating: 0, count: 64)
        let count = readlink("/proc/self/ns/pid", &buffer, buffer.count)
        return count > 0
            ? String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }()

    private static func beginning(of process: pid_t) -> Int? {
        guard let line = firstLine(of: "/proc/\(process)/stat"), let name = line.lastIndex(of: ")") else {
            return nil
        }
        // Fields 3 and on follow the name, which may hold anything.
        let fields = line[name...].split(separator: " ")
        return fields.count > 20 ? Int(fields[20]) : nil
    }

    private static func firstLine(of path: String) -> String? {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1024)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return nil }
        let line = buffer[..<count].prefix { $0 != UInt8(ascii: "\n") }
        return line.isEmpty ? nil : String(decoding: line, as: UTF8.self)
    }
}

/// “3 min”, for messages.
package func ageText(_ seconds: Double) -> String {
    // What a lock file says may be anything.
    let seconds = seconds.isFinite ? min(max(seconds, 0), 1e12) : 0
    return switch seconds {
    case ..<120: "\(Int(seconds)) s"
    case ..<7200: "\(Int(seconds / 60)) min"
    case ..<172_800: "\(Int(seconds / 3600)) h"
    default: "\(Int(seconds / 86400)) days"
    }
}

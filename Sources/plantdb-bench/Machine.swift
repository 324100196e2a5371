import Glibc

/// What the numbers were measured on.
struct Machine: CustomStringConvertible {
    let description: String

    init(directory: String, toolbox: Toolbox) {
        let memory = Double(sysconf(CInt(_SC_PHYS_PAGES))) * Double(sysconf(CInt(_SC_PAGESIZE)))
        let fileSystem = toolbox.version("sh", "-c", "df --output=fstype \"$0\" | tail -n 1", directory)
        let hardware = [
            Self.processor(), "\(Self.cores) cores", "\(Int((memory / 1e9).rounded())) GB of memory",
            toolbox.version("uname", "-srm") ?? "unknown kernel", (fileSystem ?? "unknown") + " file system",
        ]
        let upstream = toolbox.upstreamPython == nil ? "no upstream" : "PlantDB \(Toolbox.upstreamVersion)"
        let versions = [
            toolbox.version("cp", "--version") ?? "cp absent",
            toolbox.version("rsync", "--version").map(Self.shortened) ?? "rsync absent",
            toolbox.version("rclone", "version") ?? "rclone absent",
            toolbox.version("sh", "-c", "ssh -V 2>&1 | cut -d , -f 1") ?? "ssh absent",
            toolbox.version("sh", "-c", "curl --version | cut -d ' ' -f 1,2") ?? "curl absent",
            toolbox.version("sh", "-c", "nginx -v 2>&1 | sed 's/.*: //'") ?? "nginx absent",
            upstream,
            toolbox.version(toolbox.plantdb, "--version") ?? "plantdb of unknown version",
        ]
        description = hardware.joined(separator: ", ") + "; " + versions.joined(separator: ", ")
    }

    /// "rsync  version 3.2.7  protocol version 31": the first three words.
    private static func shortened(_ line: String) -> String {
        line.split(separator: " ").prefix(3).joined(separator: " ")
    }

    private static func processor() -> String {
        do {
            for line in try readText("/proc/cpuinfo").split(separator: "\n") {
                if line.hasPrefix("model name"), let colon = line.firstIndex(of: ":") {
                    return String(line[line.index(after: colon)...].drop { $0 == " " })
                }
            }
        } catch {
            say("\(error)")
        }
        var names = utsname()
        uname(&names)
        return withUnsafeBytes(of: names.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            + " processor"
    }

    static var cores: Int { sysconf(CInt(_SC_NPROCESSORS_ONLN)) }

    /// Processes that ran or waited to run, on average of the last minute; nil where the
    /// kernel does not tell.
    static func load() -> Double? {
        var load = 0.0
        return getloadavg(&load, 1) == 1 ? load : nil
    }
}

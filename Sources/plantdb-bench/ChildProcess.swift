import Glibc

/// What one run of a command took.
struct Measurement {
    var seconds: Double
    var userSeconds: Double
    var systemSeconds: Double
    /// The largest resident set of the command or of one of its children, in bytes. Never
    /// below this program's own, which the kernel hands on when it starts the child.
    var peakMemoryBytes: Int64
    /// What read(2) and its relatives, copy_file_range(2) included, returned, from disk or
    /// cache. Memory maps are not in it.
    var bytesRead: Int64
    var exitCode: CInt
}

/// A command with its arguments, run without a shell.
struct Command {
    var words: [String]
    /// Added to this program's environment.
    var environment: [String: String] = [:]

    init(_ words: [String], environment: [String: String] = [:]) {
        self.words = words
        self.environment = environment
    }

    /// Runs it with nothing on standard input and both outputs in `log`, and waits.
    ///
    /// - Throws: if it cannot be started; its exit code is in the result (128 + n for a signal).
    func run(log: String) throws(BenchError) -> Measurement {
        var actions = posix_spawn_file_actions_t()
        guard posix_spawn_file_actions_init(&actions) == 0 else {
            throw BenchError("cannot prepare to run \(words[0])")
        }
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)

        let arguments = CStrings(words)
        let variables = CStrings(inheritedEnvironment() + environment.map { "\($0.key)=\($0.value)" })
        var child: pid_t = 0
        let start = monotonicSeconds()
        let failure = posix_spawnp(&child, words[0], &actions, nil, arguments.pointers, variables.pointers)
        guard failure == 0 else { throw BenchError(errno: failure, "cannot run \(words[0])") }

        // Ended but not reaped: /proc still knows what it read.
        var info = siginfo_t()
        while waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT) != 0 {
            guard errno == EINTR else { throw BenchError(errno: errno, "cannot wait for \(words[0])") }
        }
        let seconds = monotonicSeconds() - start
        let bytesRead = Self.bytesRead(by: child)

        var status: CInt = 0
        var usage = rusage()
        while wait4(child, &status, 0, &usage) < 0 {
            guard errno == EINTR else { throw BenchError(errno: errno, "cannot wait for \(words[0])") }
        }
        // The macros of wait(2), which Swift does not import.
        let signal = status & 0x7f
        return Measurement(
            seconds: seconds,
            userSeconds: Double(usage.ru_utime.tv_sec) + Double(usage.ru_utime.tv_usec) / 1e6,
            systemSeconds: Double(usage.ru_stime.tv_sec) + Double(usage.ru_stime.tv_usec) / 1e6,
            peakMemoryBytes: Int64(usage.ru_maxrss) * 1024,
            bytesRead: bytesRead,
            exitCode: signal == 0 ? (status >> 8) & 0xff : 128 + signal)
    }

    /// Runs it and returns what it printed; nil if it cannot be run or fails.
    func output(log: String) -> String? {
        do {
            guard try run(log: log).exitCode == 0 else { return nil }
            return try readText(log)
        } catch {
            say("\(error)")
            return nil
        }
    }

    private static func bytesRead(by process: pid_t) -> Int64 {
        do {
            for line in try readText("/proc/\(process)/io").split(separator: "\n") {
                let words = line.split(separator: " ")
                if words.count == 2, words[0] == "rchar:" { return Int64(words[1]) ?? -1 }
            }
        } catch {
            say("\(error)")
        }
        return -1
    }

    private func inheritedEnvironment() -> [String] {
        var result: [String] = []
        var next = environ
        while let variable = next.pointee {
            let text = String(cString: variable)
            let name = String(text.prefix { $0 != "=" })
            if environment[name] == nil { result.append(text) }
            next += 1
        }
        return result
    }
}

/// A null-terminated array of C strings that lives as long as this object.
final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        pointers = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() { pointers[index] = strdup(string) }
        pointers[count] = nil
    }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }
}

func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

import Glibc

/// `plantdb-bench`: times `plantdb` against its peers and prints a Markdown table.
///
/// A benchmark, not a test: a missed target is printed and the exit code stays 0.
@main
struct Bench {
    static func main() {
        do {
            // A process of this program itself; see there.
            if CommandLine.arguments.dropFirst().first == DelayRelay.word {
                var relay = try DelayRelay(arguments: Array(CommandLine.arguments.dropFirst(2)))
                try relay.run()
            }
            guard let options = try Options(arguments: Array(CommandLine.arguments.dropFirst())) else {
                print(Options.help)
                return
            }
            try Bench(options: options).run()
        } catch {
            say("\(error)")
            exit(error is UsageError ? 2 : 1)
        }
    }

    let options: Options

    func run() throws(BenchError) {
        let directory = try absolutePath(creating: options.directory)
        var toolbox = try Toolbox(directory: directory, plantdb: options.plantdb)
        try makeDirectories(toolbox.cache)
        if options.works.contains(where: \.comparesWithUpstream) { toolbox.installUpstream() }
        let machine = Machine(directory: directory, toolbox: toolbox)
        say(machine.description)
        var tables: [WorkResult] = []
        if let load = Machine.load(), load > 0.5 {
            say("the machine is not idle (load \(fixed(load, 1))); the numbers will vary")
            tables.append(
                WorkResult(
                    title: "", notes: ["the machine was not idle: load \(fixed(load, 1)) at the start"]))
        }

        for work in Work.allCases where options.works.contains(work) {
            say("== \(work.rawValue)")
            let bench = WorkBench(options: options, toolbox: toolbox, directory: directory)
            do {
                tables += try bench.run(work)
            } catch {
                say("\(work.rawValue) stopped: \(error)")
                tables.append(WorkResult(title: work.rawValue, notes: ["stopped: \(error)"]))
            }
        }
        if !options.keepsTrees {
            try Tree.removeAll(in: directory)
            try SSHServer.removeFolder(in: directory)
            try Nginx.removeFolder(in: directory)
        }

        let text = markdown(machine: machine, results: tables, options: options)
        print(text)
        if let output = options.output { try write(text, to: output) }
    }
}

/// What ends the whole benchmark or one work of it.
struct BenchError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }

    /// With the words of the operating system for `errno`.
    init(errno code: CInt, _ doing: String) {
        description = "\(doing): \(String(cString: strerror(code)))"
    }
}

/// To standard error, where progress goes; the table goes to standard output.
func say(_ line: String) {
    let bytes = Array("bench: \(line)\n".utf8)
    // A lost line of progress is nothing to stop for.
    _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
}

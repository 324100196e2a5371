import Glibc

/// The whole of a small text file.
func readText(_ path: String) throws(BenchError) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw BenchError(errno: errno, "cannot open \(path)") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        guard count >= 0 else { throw BenchError(errno: errno, "cannot read \(path)") }
        if count == 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer[..<count]
    }
}

/// Creates or replaces a file.
func write(_ text: String, to path: String) throws(BenchError) {
    let bytes = Array(text.utf8)
    try requireWritten(path, bytes.withUnsafeBytes { writeFile(AT_FDCWD, path, $0) })
}

/// - Parameter failure: what `writeFile` returned.
func requireWritten(_ name: String, _ failure: CInt) throws(BenchError) {
    guard failure == 0 else { throw BenchError(errno: failure, "cannot write \(name)") }
}

/// Creates or replaces a file, below an open directory. Returns 0 or an `errno`.
func writeFile(_ directory: CInt, _ name: String, _ bytes: UnsafeRawBufferPointer) -> CInt {
    let descriptor = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { return errno }
    let failure = writeAll(descriptor, bytes)
    return close(descriptor) != 0 && failure == 0 ? errno : failure
}

/// Returns 0 or an `errno`.
func writeAll(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) -> CInt {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count < 0 { return errno }
        rest = rest.dropFirst(count)
    }
    return 0
}

/// mkdir -p.
func makeDirectories(_ path: String) throws(BenchError) {
    var made = path.hasPrefix("/") ? "/" : ""
    for component in path.split(separator: "/") {
        made += component + "/"
        guard mkdir(made, 0o755) == 0 || errno == EEXIST else {
            throw BenchError(errno: errno, "cannot make \(made)")
        }
    }
}

func absolutePath(creating directory: String) throws(BenchError) -> String {
    try makeDirectories(directory)
    return try absolutePath(directory)
}

func absolutePath(_ path: String) throws(BenchError) -> String {
    guard let resolved = realpath(path, nil) else { throw BenchError(errno: errno, "cannot find \(path)") }
    defer { free(resolved) }
    return String(cString: resolved)
}

func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// rm -rf; fine if there is nothing.
func removeTree(_ path: String) throws(BenchError) {
    guard exists(path) else { return }
    let result = try Command(["rm", "-rf", "--", path]).run(log: "/dev/null")
    guard result.exitCode == 0 else { throw BenchError("cannot remove \(path)") }
}

/// Regular files below a directory and the sum of their sizes. Hidden names at its top are
/// not counted: they are nobody's data.
func countFiles(_ path: String, top: Bool = true) throws(BenchError) -> (files: Int, bytes: Int64) {
    guard let stream = opendir(path) else { throw BenchError(errno: errno, "cannot list \(path)") }
    defer { closedir(stream) }
    var files = 0
    var bytes: Int64 = 0
    while let name = nextName(stream) {
        if top && name.hasPrefix(".") { continue }
        var status = stat()
        guard fstatat(dirfd(stream), name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw BenchError(errno: errno, "cannot look at \(path)/\(name)")
        }
        if status.st_mode & S_IFMT == S_IFDIR {
            let below = try countFiles("\(path)/\(name)", top: false)
            files += below.files
            bytes += below.bytes
        } else {
            files += 1
            bytes += Int64(status.st_size)
        }
    }
    return (files, bytes)
}

/// The next name in a directory, without `.` and `..`; nil at the end.
func nextName(_ stream: OpaquePointer) -> String? {
    while let entry = readdir(stream) {
        // The name is the last member of the record and ends with a zero.
        guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { return nil }
        let start = UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self)
        let name = String(cString: start)
        if name != "." && name != ".." { return name }
    }
    return nil
}

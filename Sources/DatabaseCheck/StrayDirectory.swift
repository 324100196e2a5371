import PlantDBCore

/// A directory that is no scan, and what releases do about it.
struct StrayDirectory {
    /// In the database, or `container/name`.
    let name: String
    let reason: String

    /// The one name that 0.16 and later tolerate.
    static let toleratedName = "configs"

    func report(to log: inout FindingLog) {
        let isMember = name.utf8.contains(UInt8(ascii: "/"))
        let ownName = name.split(separator: "/").last ?? ""
        if ownName == Self.toleratedName {
            log.add(
                .note, .strayDirectory,
                "it holds configurations and is no scan; 0.15 offers to delete it when it is opened on a "
                    + "terminal")
        } else if isMember, ownName.utf8.first == UInt8(ascii: ".") {
            log.add(
                .note, .strayDirectory,
                "it is hidden and lies in a timelapse container; no release looks into it")
        } else if isMember {
            log.add(
                .error, .strayDirectory,
                "it lies in a timelapse container and is not a scan (\(reason.printable)): 0.16 and later "
                    + "refuse to open the database; move it out of the database")
            log.refuse([.v016], "it is a directory that is not a scan (\(reason.printable))")
        } else {
            log.add(
                .error, .strayDirectory,
                "it is not a scan (\(reason.printable)): 0.16 and later refuse to open a database with such a "
                    + "directory, and 0.15 offers to delete it when it is opened on a terminal; move it out "
                    + "of the database")
            log.refuse([.v016], "it is a directory that is not a scan (\(reason.printable))")
        }
    }
}

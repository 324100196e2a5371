/// Names that not every target can have.
package enum TargetNames {
    /// For messages.
    package static let advice =
        "its file system takes no such name (FAT, exFAT, NTFS and SMB have none with \" * : < > ? |, or with a dot "
        + "or a space at its end); rename it, or choose another disk"

    /// Whether a component of a path is a name that FAT, exFAT, NTFS and SMB do not have.
    package static func holdsUncommon(_ path: String) -> Bool {
        path.split(separator: "/").contains { name in
            name.hasSuffix(".") || name.hasSuffix(" ")
                || name.utf8.contains { Array("\"*:<>?|".utf8).contains($0) }
        }
    }

    /// The other spelling under which a target has a name, where it does not tell upper and lower case or Unicode
    /// spellings apart; nil: it has the name itself, or none like it.
    ///
    /// - Parameter names: all that are there.
    package static func otherSpelling(of name: String, among names: [String]) -> String? {
        if names.contains(where: { $0.utf8.elementsEqual(name.utf8) }) { return nil }
        return names.first { $0.lowercased() == name.lowercased() }
    }
}

extension DatabaseError {
    /// Something has the name of a scan that was not there: somebody made it, or the target takes another name
    /// for this one.
    ///
    /// - Parameter names: of all that is where the scan is to be.
    package static func nameIsTaken(_ scan: ScanID, among names: [String]) -> DatabaseError {
        guard let other = TargetNames.otherSpelling(of: scan.name, among: names) else {
            return DatabaseError(
                .conflict, "scan \(scan) has appeared on the target meanwhile; run the same command again",
                scan: scan)
        }
        return DatabaseError(
            .conflict,
            "scan \(scan) and “\(other.printable)” have one name on the target, which does not tell upper and lower "
                + "case apart; rename one at the source", scan: scan)
    }
}

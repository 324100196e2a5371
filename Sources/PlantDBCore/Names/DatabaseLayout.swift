/// The names that mean something in the root of a database, beside those of scans.
package enum DatabaseLayout {
    /// The file that makes a folder a database.
    package static let marker = "romidb"
    /// The file of whoever holds the whole database.
    package static let lock = "lock"
    /// The directory of the locks of scans, of upstream 0.15 and later.
    package static let scanLocks = ".locks"
    /// Upstream's accounts, and their groups.
    package static let accounts = "users.json"
    package static let groups = "groups.json"
    /// Where a target keeps what is not published yet, and its trash.
    package static let work = ".plantdb-sync"
    package static let staging = work + "/staging"
    package static let trash = work + "/trash"
    /// The file of the run that is at work, in ``work``.
    package static let runLock = "run.lock"
    package static let runLockPath = work + "/" + runLock
    /// In a run's trash: where single files of scans are kept, each by its scan and path. Whole scans lie
    /// beside it; no scan has such a name.
    package static let trashedFiles = ".files"
}

import Testing

/// Upstream's own library, two of its releases, opens what we wrote, and we what it wrote.
///
/// The suites are in their own files; they stand in this one so that they are skipped
/// together, by name, where the library cannot be installed.
@Suite(
    "Upstream's library",
    .enabled("plantdb.commons from PyPI could not be installed; stderr says why") {
        await UpstreamLibrary.areInstalled
    }
)
struct UpstreamTests {}

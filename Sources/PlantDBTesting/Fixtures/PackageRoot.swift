import Glibc

/// The folder of this package, found from where its source lay when it was built; nil where
/// it is not there any more (an installed test kit).
public let packageRoot: String? = {
    // This file is Sources/PlantDBTesting/Fixtures/PackageRoot.swift below it.
    let components = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(4)
    let root = components.joined(separator: "/")
    return access(root + "/Package.swift", R_OK) == 0 ? root : nil
}()

/// A genuine database of the ROMI project, if one lies beside the package; nil otherwise.
/// Never write there.
public let romiDataset: String? = {
    guard let packageRoot else { return nil }
    let path = packageRoot + "/../shared/datasets/romi"
    return access(path + "/romidb", R_OK) == 0 ? path : nil
}()

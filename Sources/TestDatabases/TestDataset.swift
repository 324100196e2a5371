import PlantDBCore

/// One of the five documented ROMI datasets (Zenodo record 10379172).
public enum TestDataset: String, CaseIterable, Sendable, Codable {
    /// 72 rendered pictures of a virtual *Arabidopsis thaliana* on a patterned floor.
    case arabidopsis000
    /// 60 photos of a real *Arabidopsis thaliana*, with manual measures.
    case realPlant = "real_plant"
    /// ``realPlant`` after the reconstruction up to `AnglesAndInternodes`.
    case realPlantAnalyzed = "real_plant_analyzed"
    /// 18 views of a virtual plant in seven channels, and the plant itself.
    case virtualPlant = "virtual_plant"
    /// ``virtualPlant`` after the reconstruction up to `AnglesAndInternodes`.
    case virtualPlantAnalyzed = "virtual_plant_analyzed"

    /// All five, in the order of their names.
    public static let all: [TestDataset] = allCases

    /// The scan that the dataset becomes in a database.
    public var scan: ScanID {
        // Every raw value is made of letters, digits and “_”: a valid name.
        try! ScanID(rawValue)
    }
}

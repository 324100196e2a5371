/// Where a genuine dataset can be had: an archive of Zenodo's record 10379172.
///
/// Names and MD5 sums are those that upstream's `plantdb.commons.test_database` (0.14.5) checks.
public struct DatasetArchive: Sendable, Equatable {
    public let dataset: TestDataset
    /// 32 hexadecimal digits, lower case.
    public let md5: String

    /// The folder of the record's files.
    public static let zenodo = "https://zenodo.org/records/10379172/files"

    public var fileName: String { dataset.rawValue + ".zip" }

    public init(_ dataset: TestDataset) {
        self.init(dataset, md5: Self.checksum(of: dataset))
    }

    package init(_ dataset: TestDataset, md5: String) {
        self.dataset = dataset
        self.md5 = md5
    }

    public func url(under base: String) -> String {
        base + (base.hasSuffix("/") ? "" : "/") + fileName
    }

    private static func checksum(of dataset: TestDataset) -> String {
        switch dataset {
        case .arabidopsis000: "10e0c1fefcc8cf3b629db5b42fd64e36"
        case .realPlant: "982e75804aa9ef4078a97aac54bd892e"
        case .realPlantAnalyzed: "cc312c7b304797f2e0e4ad1abefcde32"
        case .virtualPlant: "bbee0bcc53e7a099454534bdbe1f9123"
        case .virtualPlantAnalyzed: "ad94725f173bcce684e19e8d8c833f05"
        }
    }
}

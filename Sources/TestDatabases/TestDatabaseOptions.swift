/// How ``TestDatabase/populate(root:datasets:options:progress:)`` gets its datasets.
public struct TestDatabaseOptions: Sendable {
    /// Where the content comes from.
    public enum Source: Sendable, Equatable {
        /// From the folder named by `PLANTDB_DATASETS` where it holds the dataset, else generated.
        case automatic
        /// Generated look-alikes only.
        case generate
        /// The genuine archives, `‹baseURL›/‹dataset›.zip`.
        case download(baseURL: String)

        /// The genuine archives of Zenodo.
        public static let zenodo = Source.download(baseURL: DatasetArchive.zenodo)
    }

    /// How large generated pictures and models are. Names and numbers of files are the same.
    public enum Detail: Sendable, Equatable {
        /// About as large as the genuine ones: 90 MB for all five.
        case genuine
        /// Pictures of an eighth of the width, models of a sixty-fourth of the points:
        /// about 4 MB for all five, for tests.
        case small
    }

    public var source: Source
    /// Of the generator: the same seed gives the same bytes and times on every machine.
    public var seed: UInt64
    public var detail: Detail
    /// A folder with genuine datasets as scan folders; by default what `PLANTDB_DATASETS` says.
    public var datasetsFolder: String?
    /// Where downloaded archives are kept; by default `plantdb/datasets` in the user's cache
    /// folder (`XDG_CACHE_HOME`, else `~/.cache`).
    public var cacheFolder: String?
    /// How many files are generated at a time; nil: as many as there are processors, at most 8.
    public var workers: Int?
    /// MD5 sums in place of those of Zenodo's archives: for tests with archives of their own.
    package var checksums: [TestDataset: String] = [:]
    package var archiveLimits = ArchiveLimits()

    public static let defaultSeed: UInt64 = 10_379_172

    public init(
        source: Source = .automatic, seed: UInt64 = defaultSeed, detail: Detail = .genuine,
        datasetsFolder: String? = Environment.value(of: "PLANTDB_DATASETS"), cacheFolder: String? = nil,
        workers: Int? = nil
    ) {
        self.source = source
        self.seed = seed
        self.detail = detail
        self.datasetsFolder = datasetsFolder
        self.cacheFolder = cacheFolder
        self.workers = workers
    }
}

/// How far a dataset is.
public enum TestDatabaseProgress: Sendable, Equatable {
    /// Files written of files to write.
    case writing(TestDataset, files: Int, of: Int)
    /// Bytes received of bytes to receive; nil where the server does not say.
    case downloading(TestDataset, bytes: Int64, of: Int64?)
    case done(TestDatasetOrigin)
}

/// Where the content of a dataset came from.
public struct TestDatasetOrigin: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        case generated(seed: UInt64)
        /// Copied from a folder.
        case copied(from: String)
        case downloaded(from: String)
    }

    public var dataset: TestDataset
    public var kind: Kind
    public var files: Int
    public var bytes: Int64
}

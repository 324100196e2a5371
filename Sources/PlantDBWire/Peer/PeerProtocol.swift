/// Our extension of the REST API, between a `plantdb` and a `plantdb serve`: what a database
/// endpoint can do, over HTTP.
///
/// Below the server's base, next to upstream's routes:
///
/// | call | answer |
/// | --- | --- |
/// | `GET sync/v1` | ``PeerHello`` |
/// | `GET sync/v1/scans` | ``PeerListing`` |
/// | `GET sync/v1/manifest?scan=S&digests=0` | frames: entries, skipped ones, the end |
/// | `POST sync/v1/read` | a ``PeerReadRequest`` in; frames: files and their bytes, the end |
/// | `POST sync/v1/checksums` | a ``PeerReadRequest`` in; JSON, an array of CRC-32s |
/// | `POST sync/v1/finds` | a ``PeerReadRequest`` in; JSON, an array of whether there is something by each path |
/// | `POST sync/v1/locks`, `PUT`, `DELETE sync/v1/locks/ID` | takes, keeps, releases a lock |
/// | `POST sync/v1/transactions` | begins a transaction: ``PeerBegin`` in, its id out |
/// | `PUT sync/v1/transactions/ID/parts` | frames of files in; frames of entries out: what was staged |
/// | `POST sync/v1/transactions/ID/remove`, `…/attributes`, `…/commit` | |
/// | `DELETE sync/v1/transactions/ID` | aborts |
/// | `POST sync/v1/remove` | removes a scan: ``PeerBegin`` in |
/// | `GET sync/v1/space` | `{"available": bytes or null}` |
///
/// Locks and transactions are leases: the server drops those that were not used for
/// ``leaseSeconds``, so that a peer that vanished blocks nobody for longer.
public enum PeerProtocol {
    /// The version of everything here. A server that speaks another one is not a peer.
    public static let version = 1
    public static let base = "sync/v1"
    /// How long a lock or a transaction lives without a request for it.
    public static let leaseSeconds = 60
    /// How long a server waits for a lock before it answers: without an answer for longer, connections are
    /// given up on the way.
    public static let longestWait = Duration.seconds(20)
    /// The media type of a stream of ``PeerFrame``s.
    public static let framesType = "application/x-plantdb-frames"
    /// JSON bodies of requests larger than this are refused; those of ``PeerReadRequest`` are not larger than
    /// ``readRequestBytes``.
    public static let maximumRequestBytes = 64 << 20
    /// Whoever may only read may hold no more of a server's memory by one request: more files are asked for in
    /// parts.
    public static let readRequestBytes = 1 << 20
}

import PlantDBCore
import PlantDBWire

extension PeerEndpoint: FileFetcher {
    public var fileFetcher: (any FileFetcher)? { self }

    /// How often a lost connection is made again without any progress in between.
    private static let patience = 4

    public func fetch(_ selection: EntrySelection, into receiver: any LocalFileReceiver, meter: ByteMeter)
        async throws(DatabaseError) -> LocalCopyOutcome
    {
        let staged = PeerStagedFrames(receiver, scan: selection.scan, meter: meter)
        var attempts = 0
        while true {
            let before = staged.progress
            do throws(DatabaseError) {
                let (answer, count) = try await read(
                    selection, from: before.entriesDone, offset: before.bytesOfNext)
                var next = try await answer.next()
                while let bytes = next {
                    // The next bytes arrive while these are written.
                    async let following = answer.next()
                    let written: Result<Void, DatabaseError>
                    do throws(DatabaseError) {
                        try await staged.write(bytes)
                        written = .success(())
                    } catch { written = .failure(error) }
                    do { next = try await following } catch {
                        try written.get()
                        throw DatabaseError.wrapping(error, while: "reading scan \(selection.scan)")
                    }
                    try written.get()
                }
                try await staged.finish()
                let done = staged.progress.entriesDone
                guard done == before.entriesDone + count else {
                    throw DatabaseError(
                        .invalidData,
                        "\(location) did not send the files of scan \(selection.scan) that it was asked for")
                }
                guard done < selection.count else { return staged.outcome }
                staged.resume()
                attempts = 0
                continue
            } catch {
                let now = staged.progress
                attempts = now == before ? attempts + 1 : 0
                guard error.code == .unreachable, attempts < Self.patience else { throw error }
                staged.resume()
            }
            do { try await Task.sleep(for: .milliseconds(200 << attempts)) } catch {
                throw DatabaseError(.cancelled, "cancelled while reading scan \(selection.scan)")
            }
        }
    }
}

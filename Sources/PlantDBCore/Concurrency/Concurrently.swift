/// Runs `body` for all, a few at a time, whatever finishes first; the answers are in the order of `items`.
package func concurrently<Item: Sendable, Answer: Sendable>(
    _ items: [Item], atATime width: Int, _ body: @escaping @Sendable (Item) async -> Answer
) async -> [Answer] {
    await withTaskGroup(of: (Int, Answer).self) { group in
        var answers = [Answer?](repeating: nil, count: items.count)
        var next = 0
        func start() {
            guard next < items.count else { return }
            let index = next
            next += 1
            group.addTask { (index, await body(items[index])) }
        }
        for _ in 0..<max(1, width) { start() }
        for await (index, answer) in group {
            answers[index] = answer
            start()
        }
        return answers.compactMap { $0 }
    }
}

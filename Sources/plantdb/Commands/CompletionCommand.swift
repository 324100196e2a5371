import ArgumentParser

struct CompletionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completion",
        abstract: "Print the script that completes plantdb's commands and options in a shell.",
        discussion: """
            EXAMPLES
              bash:
                plantdb completion bash > ~/.local/share/bash-completion/completions/plantdb
              zsh, into a folder of $fpath:
                plantdb completion zsh > ~/.zsh/completions/_plantdb
              fish:
                plantdb completion fish > ~/.config/fish/completions/plantdb.fish
            """
    )

    enum Shell: String, ExpressibleByArgument, CaseIterable {
        case bash, zsh, fish

        var script: CompletionShell {
            switch self {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        }
    }

    @Argument(help: "The shell.")
    var shell: Shell

    func run() throws {
        let console = Running.shared.console
        console.data(Plantdb.completionScript(for: shell.script), logged: false)
        console.flush()
    }
}

import { Argument, type Command } from 'commander'
import { EXIT, type SetExit } from '../exit.js'

/** `aquifer completion` */
export function addCompletion(program: Command, exit: SetExit): void {
  program
    .command('completion')
    .description('Print a script that completes commands and options in your shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText('after', HELP)
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { completionScript } = await import('../completion/script.js')
      const { print } = await import('../stdout.js')
      await print(completionScript(program, shell))
      exit(EXIT.done)
    })
}

const HELP = `
Examples:
  source <(aquifer completion bash)                                        in ~/.bashrc
  source <(aquifer completion zsh)                                         in ~/.zshrc, after compinit
  aquifer completion fish > ~/.config/fish/completions/aquifer.fish`

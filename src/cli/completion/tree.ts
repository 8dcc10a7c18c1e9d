import type { Command, Option } from 'commander'

/** What a shell can complete, read from the program itself. Pure. */

export interface Place {
  /** The words of the commands so far, each with a space in front: ` jobs create`. */
  readonly at: string
  readonly commands: readonly { readonly name: string; readonly description: string }[]
  readonly options: readonly CompletedOption[]
  /** What may stand as an argument, where that is known. */
  readonly choices: readonly string[]
}

export interface CompletedOption {
  /** `--output`, and `-o` where there is one. */
  readonly flags: readonly string[]
  readonly description: string
  readonly value: 'none' | 'any' | 'file' | readonly string[]
}

/** Every place of the command line, the program itself first. */
export function placesOf(command: Command, at = ''): Place[] {
  const help = command.createHelp()
  const commands = help.visibleCommands(command)
  const place: Place = {
    at,
    commands: commands.map((below) => ({ name: below.name(), description: below.description() })),
    options: help.visibleOptions(command).map(completed),
    choices: command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices),
  }
  // The help command's own argument is any command: no place of its own.
  const below = commands.filter((candidate) => command.commands.includes(candidate))
  return [place, ...below.flatMap((next) => placesOf(next, `${at} ${next.name()}`))]
}

function completed(option: Option): CompletedOption {
  const flags = [option.long, option.short].filter((flag): flag is string => typeof flag === 'string')
  return { flags, description: option.description, value: valueKind(option) }
}

function valueKind({ required, optional, argChoices, flags }: Option): CompletedOption['value'] {
  if (!required && !optional) return 'none'
  if (argChoices) return argChoices
  return flags.includes('<file>') ? 'file' : 'any'
}

import type { CompletedOption, Place } from './tree.js'

/** In fish a single-quoted text knows two escapes. */
const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** Completion for fish 3. Pure. */
export function fishScript(places: readonly Place[]): string {
  const below = places.filter(({ at }) => at !== '').map(({ at }) => quoted(at))
  return `# Completion of aquifer for fish, made by "aquifer completion fish".
function __aquifer_at
  set -l at ''
  set -l typed (commandline -opc)
  for word in $typed[2..-1]
    switch "$at $word"
      case ${below.join(' ')}
        set at "$at $word"
    end
  end
  test "$at" = "$argv[1]"
end
complete -c aquifer -f
${places.flatMap(lines).join('\n')}
`
}

function lines({ at, commands, options, choices }: Place): string[] {
  const here = `complete -c aquifer -n ${quoted(`__aquifer_at ${quoted(at)}`)}`
  return [
    ...commands.map(({ name, description }) => `${here} -a ${quoted(name)} -d ${quoted(description)}`),
    ...choices.map((choice) => `${here} -a ${quoted(choice)}`),
    ...options.map((option) => `${here} ${flags(option)}${value(option)} -d ${quoted(option.description)}`),
  ]
}

function flags(option: CompletedOption): string {
  return option.flags
    .map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
    .join(' ')
}

function value({ value: kind }: CompletedOption): string {
  if (kind === 'none') return ''
  if (kind === 'file') return ' -r -F'
  return kind === 'any' ? ' -x' : ` -x -a ${quoted(kind.join(' '))}`
}

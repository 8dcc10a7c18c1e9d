import type { Place } from './tree.js'

/** Words in single quotes, for a shell. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
const words = (list: readonly string[]) => quoted(list.join(' '))

/** Completion for bash 3.2 and later. Pure. */
export function bashScript(places: readonly Place[]): string {
  const below = places.filter(({ at }) => at !== '').map(({ at }) => quoted(at))
  return `# Completion of aquifer for bash, made by "aquifer completion bash".
_aquifer() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local at='' index commands='' options=''
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "$at \${COMP_WORDS[index]}" in
      ${below.join('|')}) at="$at \${COMP_WORDS[index]}" ;;
    esac
  done
  COMPREPLY=()
  case "$at $previous" in
${places.flatMap(values).join('\n')}
  esac
  case "$at" in
${places.map(place).join('\n')}
  esac
  [[ $current == -* || -z $commands ]] && commands=$options
  COMPREPLY=($(compgen -W "$commands" -- "$current"))
}
complete -F _aquifer aquifer
`
}

function values({ at, options }: Place): string[] {
  return options.flatMap(({ flags, value }) => {
    if (value === 'none') return []
    const pattern = flags.map((flag) => quoted(`${at} ${flag}`)).join('|')
    if (value === 'any') return [`    ${pattern}) return ;;`]
    const reply = value === 'file' ? '-f' : `-W ${words(value)}`
    return [`    ${pattern}) COMPREPLY=($(compgen ${reply} -- "$current")); return ;;`]
  })
}

function place({ at, commands, options, choices }: Place): string {
  const names = words([...commands.map(({ name }) => name), ...choices])
  return `    ${quoted(at)}) commands=${names} options=${words(options.flatMap(({ flags }) => flags))} ;;`
}

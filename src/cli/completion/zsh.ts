import type { Place } from './tree.js'

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
/** What \`_describe\` takes: a word, a colon, what it means. */
const described = (word: string, description: string) =>
  quoted(`${word.replaceAll(':', '\\:')}:${description.replaceAll(/\s+/g, ' ')}`)

/** Completion for zsh 5. Pure. */
export function zshScript(places: readonly Place[]): string {
  const below = places.filter(({ at }) => at !== '').map(({ at }) => quoted(at))
  return `#compdef aquifer
# Completion of aquifer for zsh, made by "aquifer completion zsh".
_aquifer() {
  local at='' word
  local -a commands options
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
      (${below.join('|')}) at="$at $word" ;;
    esac
  done
  case "$at \${words[CURRENT-1]}" in
${places.flatMap(values).join('\n')}
  esac
  case "$at" in
${places.map(place).join('\n')}
  esac
  if [[ \${words[CURRENT]} == -* ]] || (( \${#commands} == 0 )); then
    _describe option options
  else
    _describe command commands
  fi
}
if [[ \${funcstack[1]} == _aquifer ]]; then _aquifer "$@"; else compdef _aquifer aquifer; fi
`
}

function values({ at, options }: Place): string[] {
  return options.flatMap(({ flags, value }) => {
    if (value === 'none') return []
    const pattern = flags.map((flag) => quoted(`${at} ${flag}`)).join('|')
    if (value === 'any') return [`    (${pattern}) return ;;`]
    const reply = value === 'file' ? '_files' : `compadd -- ${value.map(quoted).join(' ')}`
    return [`    (${pattern}) ${reply}; return ;;`]
  })
}

function place({ at, commands, options, choices }: Place): string {
  const names = [
    ...commands.map(({ name, description }) => described(name, description)),
    ...choices.map(quoted),
  ]
  const flags = options.flatMap((option) => option.flags.map((flag) => described(flag, option.description)))
  return `    (${quoted(at)})
      commands=(${names.join(' ')})
      options=(${flags.join(' ')}) ;;`
}

const ESCAPE = String.fromCharCode(27)
/** Control sequences of a terminal, and single characters. */
const TOKENS = new RegExp(`${ESCAPE}\\[[\\d;?]*[A-Za-z]|[^]`, 'gu')

const UP = new RegExp(`^${ESCAPE}\\[(\\d+)A$`)

/** What stands on a terminal after these bytes: its lines, the one with the cursor last where nothing is below. */
export function screenOf(bytes: string): string[] {
  const lines: string[][] = [[]]
  let row = 0
  let column = 0
  for (const [token] of bytes.matchAll(TOKENS)) {
    const line = lines[row]!
    const up = UP.exec(token)
    if (token === '\n') {
      row += 1
      column = 0
      lines[row] ??= []
    } else if (token === '\r') column = 0
    else if (up) row = Math.max(0, row - Number(up[1]))
    else if (token === '\u001b[2K') lines[row] = []
    else if (token === '\u001b[K') line.splice(column)
    else if (token === '\u001b[J') {
      line.splice(column)
      lines.splice(row + 1)
    } else if (token.startsWith('\u001b')) throw new Error(`unexpected ${JSON.stringify(token)}`)
    else {
      while (line.length < column) line.push(' ')
      line[column++] = token
    }
  }
  return lines.map((line) => line.join(''))
}

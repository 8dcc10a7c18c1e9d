import { Interrupted } from './exit.js'

const CTRL_C = '\u0003'
const CTRL_D = '\u0004'
const CTRL_U = '\u0015'
const BACKSPACES = ['\u007f', '\b']

/**
 * Asks for a secret on the terminal, without showing what is typed.
 * @throws Interrupted on Ctrl-C, and on Ctrl-D where nothing was typed
 */
export async function askSecret(
  question: string,
  input: NodeJS.ReadStream = process.stdin,
  output: NodeJS.WriteStream = process.stderr,
): Promise<string> {
  // Before anybody is asked: what is typed sooner would be shown, and Ctrl-C be taken by the terminal.
  input.setRawMode(true)
  input.setEncoding('utf8')
  output.write(question)
  try {
    return await readLine(input)
  } finally {
    input.setRawMode(false)
    input.pause()
    // The Enter key was not shown either.
    output.write('\n')
  }
}

async function readLine(input: NodeJS.ReadStream): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let typed = ''
  const onData = (chunk: string) => {
    for (const character of chunk) {
      if (character === '\r' || character === '\n') return resolve(typed)
      if (character === CTRL_C || (character === CTRL_D && typed === '')) {
        return reject(new Interrupted('Interrupted.'))
      }
      if (BACKSPACES.includes(character)) typed = [...typed].slice(0, -1).join('')
      else if (character === CTRL_U) typed = ''
      else if (character >= ' ') typed += character
    }
  }
  const onEnd = () => reject(new Interrupted('Interrupted: nothing more can be typed.'))
  input.on('data', onData)
  input.on('end', onEnd)
  try {
    return await promise
  } finally {
    input.off('data', onData)
    input.off('end', onEnd)
  }
}

import type { Problem } from './problem.js'

/**
 * How what is in `codegen/` differs, byte by byte, from what belongs there.
 * @param actual and `expected`: bytes by path below `codegen/`
 */
export function findDrift(
  actual: ReadonlyMap<string, Buffer>,
  expected: ReadonlyMap<string, Buffer>,
): Problem[] {
  const paths = [...new Set([...actual.keys(), ...expected.keys()])].sort()
  return paths.flatMap((path) => {
    const [rule, message] = compare(actual.get(path), expected.get(path))
    return rule === null ? [] : [{ file: `codegen/${path}`, at: '', rule, message }]
  })
}

function compare(actual: Buffer | undefined, expected: Buffer | undefined): [string | null, string] {
  if (actual === undefined) return ['missing', 'run npm run codegen']
  if (expected === undefined) return ['extra', 'nothing generates this file: delete it']
  return actual.equals(expected) ? [null, ''] : ['stale', 'not what lexicons/ says: run npm run codegen']
}

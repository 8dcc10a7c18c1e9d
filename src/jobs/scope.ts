import { isValidNsid } from '@atproto/syntax'

/**
 * A collection as a job asks for it: an NSID, or a prefix such as `app.bsky.graph.*`, which covers every
 * collection below it at any depth, by whole segments.
 */
export function matchesCollection(pattern: string, nsid: string): boolean {
  return isPrefix(pattern) ? nsid.startsWith(pattern.slice(0, -1)) : nsid === pattern
}

export function isPrefix(pattern: string): boolean {
  return pattern.endsWith('.*')
}

/** Why a pattern cannot be used; null if it can. */
export function patternProblem(pattern: string): string | null {
  if (!pattern.includes('*')) {
    return isValidNsid(pattern) ? null : 'not an NSID (such as com.example.post)'
  }
  if (!isPrefix(pattern) || pattern.slice(0, -2).includes('*')) {
    return 'a prefix ends in ".*" and has no other asterisk (such as com.example.*)'
  }
  const prefix = pattern.slice(0, -2)
  if (prefix.split('.').length < 2) return 'a prefix needs at least two segments before ".*"'
  // The shortest collection below it decides whether the segments are well formed.
  return isValidNsid(`${prefix}.x`) ? null : 'the segments before ".*" are not those of an NSID'
}

/** The collections, of those a repo has, that a job wants; null stands for every collection. */
export function wantedCollections(patterns: readonly string[] | null, present: readonly string[]): string[] {
  if (patterns === null) return [...present]
  return present.filter((nsid) => patterns.some((pattern) => matchesCollection(pattern, nsid)))
}

/** Whether a repo's collections must be asked for, or the job names them all. */
export function namesEveryCollection(patterns: readonly string[] | null): patterns is readonly string[] {
  return patterns !== null && !patterns.some(isPrefix)
}

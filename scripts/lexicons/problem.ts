/** Something that keeps the contract, or what is generated from it, from being accepted. */
export interface Problem {
  /** Path from the project's root. */
  readonly file: string
  /** The place in the document, such as `defs.main.output`; empty for the whole of it. */
  readonly at: string
  /** A stable name, to look up or to search for. */
  readonly rule: string
  readonly message: string
}

/** Problems as a list for people, by file. */
export function formatProblems(problems: readonly Problem[]): string {
  const files = [...new Set(problems.map((problem) => problem.file))].sort()
  return files
    .map((file) => {
      const own = problems.filter((problem) => problem.file === file)
      return [file, ...own.map((problem) => `  ${line(problem)}`)].join('\n')
    })
    .join('\n')
}

function line({ at, rule, message }: Problem): string {
  return at === '' ? `[${rule}] ${message}` : `[${rule}] ${at}: ${message}`
}

import { schemas } from '../../codegen/server/lexicons.js'
import { COLLECTIONS_MAX, REPOS_MAX } from '../jobs/input.js'
import { LEVELS, REQUESTABLE_METHODS } from '../verdict.js'
import { VERSION } from '../version.js'
import { quotasView } from './caller-view.js'
import type { ApiContext } from './context.js'
import type { Methods } from './index.js'

/** The largest JSON body taken. */
export const INPUT_BYTES_MAX = 1024 * 1024

export function describeService(methods: Methods, ctx: ApiContext): void {
  const { config } = ctx
  methods.describeService({
    handler: () => ({
      encoding: 'application/json',
      body: {
        did: config.identity.did,
        version: VERSION,
        relays: config.network.relays.map((url) => ({ url })),
        limits: {
          maxCollections: COLLECTIONS_MAX,
          maxRepos: REPOS_MAX,
          maxInputBytes: INPUT_BYTES_MAX,
          ...quotasView(config.quotas),
        },
        endpoints: schemas.filter(isMethod).map(({ id }) => ({ nsid: id })),
        methods: REQUESTABLE_METHODS.map((name) => ({ name })),
        levels: LEVELS.map((name) => ({ name })),
      },
    }),
  })
}

const METHODS: ReadonlySet<string> = new Set(['query', 'procedure', 'subscription'])

/** Whether a lexicon document is one of a method, rather than of what methods share or ask for. */
function isMethod({ defs }: { readonly defs: object }): boolean {
  const { main } = defs as { readonly main?: { readonly type: string } }
  return main !== undefined && METHODS.has(main.type)
}

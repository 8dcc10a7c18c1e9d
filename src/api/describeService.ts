import { ids } from '../../codegen/server/lexicons.js'
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
        endpoints: Object.values(ids)
          .filter((nsid) => !nsid.endsWith('.defs'))
          .map((nsid) => ({ nsid })),
        methods: REQUESTABLE_METHODS.map((name) => ({ name })),
        levels: LEVELS.map((name) => ({ name })),
      },
    }),
  })
}

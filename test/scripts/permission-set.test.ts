import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { IncludeScope } from '@atproto/oauth-scopes'
import { describe, expect, test } from 'vitest'

/** The permission set, as an authorization server reads it. */

const GROUP = 'network.example.backfill'
const FOLDER = fileURLToPath(new URL(`../../lexicons/${GROUP.replaceAll('.', '/')}`, import.meta.url))
const SERVICE = 'did:web:backfill.example.com#atproto_backfill'

/** Nobody calls these in the name of an account. */
const WITHOUT_GRANT = ['deleteCaller', 'describeService', 'listCallers', 'putCaller']

type PermissionSet = Parameters<IncludeScope['toScopes']>[0]

async function mainOf(name: string): Promise<{ type: string }> {
  const document = JSON.parse(await readFile(join(FOLDER, `${name}.json`), 'utf8'))
  return document.defs.main ?? { type: 'defs' }
}

async function methods(): Promise<string[]> {
  const names = (await readdir(FOLDER)).map((file) => file.replace(/\.json$/, '')).sort()
  const mains = await Promise.all(names.map(mainOf))
  return names.filter((_, index) => ['query', 'procedure', 'subscription'].includes(mains[index]!.type))
}

/** The methods that a scope allows to be called, and on which service. */
async function granted(scope: string): Promise<{ lxm: string[]; aud: (string | null)[] }> {
  const set = (await mainOf('authBackfill')) as PermissionSet & { type: string }
  const scopes = IncludeScope.fromString(scope)!.toScopes(set)
  const params = scopes.map((text) => new URLSearchParams(text.replace(/^rpc(:([^?]*))?\??/, 'lxm=$2&')))
  return {
    lxm: params.flatMap((each) => each.getAll('lxm').filter(Boolean)).sort(),
    aud: params.map((each) => each.get('aud')),
  }
}

describe('include:…authBackfill', () => {
  test('grants every method that is called in the name of an account, on the service that was named', async () => {
    const { lxm, aud } = await granted(`include:${GROUP}.authBackfill?aud=${encodeURIComponent(SERVICE)}`)
    const wanted = (await methods()).filter((name) => !WITHOUT_GRANT.includes(name))
    expect(lxm).toEqual(wanted.map((name) => `${GROUP}.${name}`))
    expect(aud).toEqual([SERVICE])
  })

  test('grants nothing without naming a service', async () => {
    expect((await granted(`include:${GROUP}.authBackfill`)).lxm).toEqual([])
  })
})

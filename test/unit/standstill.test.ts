import { expect, test } from 'vitest'
import { SpoolTrouble } from '../../src/atproto/repo/spool.js'
import { databaseTrouble, spoolTrouble } from '../../src/engine/standstill.js'

const withCode = (code: string, message = 'no') => Object.assign(new Error(message), { code })

test.each([
  [new SpoolTrouble(withCode('ENOSPC')), null, 'SPOOL_DIR is full'],
  [new SpoolTrouble(withCode('EDQUOT')), null, 'SPOOL_DIR is full'],
  [new SpoolTrouble(withCode('EROFS')), null, 'SPOOL_DIR cannot be used'],
  [withCode('ENOSPC'), null, null],
  [withCode('53100'), 'the database takes nothing in', null],
  [withCode('ECONNREFUSED'), 'the database cannot be reached', null],
  [new Error('a mistake'), null, null],
])('what %s is a reason for', (error, database, spool) => {
  expect([databaseTrouble(error), spoolTrouble(error)]).toEqual([database, spool])
})

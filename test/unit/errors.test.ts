import {
  AuthRequiredError,
  ForbiddenError,
  InternalServerError,
  InvalidRequestError,
  MethodNotImplementedError,
  UpstreamFailureError,
} from '@atproto/xrpc-server'
import { describe, expect, it } from 'vitest'
import { toXrpcError } from '../../src/api/errors.js'
import { DirectoryUnavailable } from '../../src/auth/errors.js'
import { type ErrorCode, RequestError } from '../../src/errors.js'

const shown = (error: unknown) => {
  const { statusCode, payload } = toXrpcError(error)
  return { status: statusCode, ...payload }
}

describe('what a caller sees', () => {
  it.each<[ErrorCode, number]>([
    ['InvalidRequest', 400],
    ['InvalidCollection', 400],
    ['ScopeTooBroad', 400],
    ['ClientTokenConflict', 400],
    ['JobNotFound', 400],
    ['DetailsDeleted', 400],
    ['InvalidState', 400],
    ['QuotaExceeded', 429],
    ['InvalidPermission', 400],
    ['CallerNotFound', 400],
    ['DirectoryUnavailable', 503],
  ])('of a refusal is its name and its words: %s', (code, status) => {
    const error = new RequestError(code, 'because of this')
    expect(shown(error)).toEqual({ status, error: code, message: 'because of this' })
    expect(toXrpcError(error).cause).toBe(error)
  })

  it.each([
    [new AuthRequiredError('no token', 'AuthMissing'), 401, 'AuthMissing', 'no token'],
    [new ForbiddenError('may not', 'NotPermitted'), 403, 'NotPermitted', 'may not'],
    [new InvalidRequestError('limit is too large'), 400, 'InvalidRequest', 'limit is too large'],
    [new MethodNotImplementedError(), 501, 'MethodNotImplemented', 'Method Not Implemented'],
    [new DirectoryUnavailable(false, new Error('x')), 503, 'DirectoryUnavailable', expect.any(String)],
  ])('of an XRPC error is that error: %s', (error, status, name, message) => {
    expect(shown(error)).toEqual({ status, error: name, message })
  })

  it.each<[string, unknown]>([
    ['a mistake of ours', new TypeError('secret')],
    ['a statement of ours', Object.assign(new Error('secret'), { code: '42601', severity: 'ERROR' })],
    ['an internal error with words', new InternalServerError('secret', 'Secret')],
    ['somebody behind us', new UpstreamFailureError('secret', 'Secret')],
    ['a refusal deep inside', new Error('secret', { cause: new InvalidRequestError('secret') })],
    ['what is no error', 'secret'],
    ['nothing', undefined],
  ])('of a fault of our own is nothing: %s', (_, error) => {
    expect(shown(error)).toEqual({
      status: 500,
      error: 'InternalServerError',
      message: 'Internal Server Error',
    })
    expect(toXrpcError(error).cause).toBe(error)
  })

  it.each(['57P01', '53100'])('of a database in trouble is that it may be tried again: %s', (code) => {
    const error = Object.assign(new Error('secret'), { code })
    expect(shown(error)).toEqual({
      status: 503,
      error: 'DatabaseUnavailable',
      message: expect.not.stringContaining('secret'),
    })
  })
})

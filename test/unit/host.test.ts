import { describe, expect, test } from 'vitest'
import { isLocalName, isPublicAddress, urlRefusal } from '../../src/atproto/address.js'
import { hostnameToOrigin, normalizeHost } from '../../src/atproto/host.js'

const publicOnly = { allowPrivateNetwork: false }
const anywhere = { allowPrivateNetwork: true }

describe('normalizeHost', () => {
  test.each([
    ['https://pds.example.com', 'https://pds.example.com'],
    ['https://pds.example.com/', 'https://pds.example.com'],
    ['HTTPS://PDS.Example.COM', 'https://pds.example.com'],
    ['https://pds.example.com.', 'https://pds.example.com'],
    ['https://pds.example.com./', 'https://pds.example.com'],
    ['https://pds.example.com:443', 'https://pds.example.com'],
    ['https://pds.example.com:8443/', 'https://pds.example.com:8443'],
    ['https://pds.example.com.:08443', 'https://pds.example.com:8443'],
    ['https://pds%2Eexample.com', 'https://pds.example.com'],
    ['https://bücher.example.com', 'https://xn--bcher-kva.example.com'],
    ['https://BÜCHER.example.com', 'https://xn--bcher-kva.example.com'],
    ['https://xn--bcher-kva.example.com', 'https://xn--bcher-kva.example.com'],
    ['https://ｐｄｓ.example。com', 'https://pds.example.com'],
    ['https://my_pds.example.com', 'https://my_pds.example.com'],
    ['https://93.184.216.34', 'https://93.184.216.34'],
    ['https://[2606:2800:220:1:0:0:0:1]:8443', 'https://[2606:2800:220:1::1]:8443'],
  ])('%s is %s', (endpoint, origin) => {
    expect(normalizeHost(endpoint, publicOnly)).toBe(origin)
    expect(normalizeHost(origin, publicOnly)).toBe(origin)
  })

  test.each([
    '',
    'pds.example.com',
    'https://',
    'https:pds.example.com',
    'https:///pds.example.com',
    'https:\\\\pds.example.com',
    'http://pds.example.com',
    'ftp://pds.example.com',
    'wss://pds.example.com',
    'https://pds.example.com/xrpc',
    'https://pds.example.com//',
    'https://pds.example.com/?',
    'https://pds.example.com?a=b',
    'https://pds.example.com#atproto_pds',
    'https://user@pds.example.com',
    'https://user:secret@pds.example.com',
    'https://@pds.example.com',
    'https://pds.example.com:0',
    'https://pds.example.com:65536',
    'https://pds.example.com:https',
    ' https://pds.example.com',
    'https://pds.example.com ',
    'https://pds.exa\nmple.com',
    'https://pds..example.com',
    'https://pds.example.com..',
    'https://.example.com',
    'https://-pds.example.com',
    'https://*.example.com',
    `https://${'a'.repeat(64)}.example.com`,
    `https://${'abcdefg.'.repeat(40)}com`,
    `https://${'a'.repeat(100_000)}`,
    'https://localhost',
    'https://pds',
    'https://pds.local',
    'https://10.0.0.1',
    'https://2130706433',
    'https://[::1]',
    'https://999.1.1.1',
  ])('%j is no usable origin', (endpoint) => {
    expect(normalizeHost(endpoint, publicOnly)).toBeNull()
  })

  test('a private network has http and local hosts, but no other freedom', () => {
    expect(normalizeHost('http://localhost:2583/', anywhere)).toBe('http://localhost:2583')
    expect(normalizeHost('http://127.1:80', anywhere)).toBe('http://127.0.0.1')
    expect(normalizeHost('http://[::1]:2583', anywhere)).toBe('http://[::1]:2583')
    expect(normalizeHost('https://pds.example.com', anywhere)).toBe('https://pds.example.com')
    for (const endpoint of [
      'http://localhost/xrpc',
      'http://user@localhost',
      'ws://localhost',
      'http://a..b',
    ]) {
      expect(normalizeHost(endpoint, anywhere)).toBeNull()
    }
  })
})

describe('hostnameToOrigin', () => {
  test.each([
    ['pds.example.com', 'https://pds.example.com'],
    ['PDS.example.com.', 'https://pds.example.com'],
    ['pds.example.com:8443', 'https://pds.example.com:8443'],
    ['bücher.example.com', 'https://xn--bcher-kva.example.com'],
  ])('%s is %s', (hostname, origin) => {
    expect(hostnameToOrigin(hostname, publicOnly)).toBe(origin)
  })

  test.each([
    '',
    'https://pds.example.com',
    'pds.example.com/',
    'user@pds.example.com',
    'pds.example.com?x',
    'a b.com',
    'localhost',
    '10.0.0.1',
    '::1',
  ])('%j is no hostname to ask', (hostname) => {
    expect(hostnameToOrigin(hostname, publicOnly)).toBeNull()
  })

  test('a local name speaks http where it is allowed', () => {
    expect(hostnameToOrigin('localhost:2583', anywhere)).toBe('http://localhost:2583')
    expect(hostnameToOrigin('127.0.0.1:2583', anywhere)).toBe('http://127.0.0.1:2583')
    expect(hostnameToOrigin('pds.example.com', anywhere)).toBe('https://pds.example.com')
  })
})

describe('addresses', () => {
  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '93.184.216.34',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700::1111',
    '2a00:1450::1',
  ])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true))

  test.each([
    ['this network', '0.0.0.0'],
    ['this network', '0.1.2.3'],
    ['private', '10.1.2.3'],
    ['private', '172.16.0.1'],
    ['private', '172.31.255.255'],
    ['private', '192.168.1.1'],
    ['shared (CGNAT)', '100.64.0.1'],
    ['shared (CGNAT)', '100.127.255.255'],
    ['loopback', '127.0.0.1'],
    ['loopback', '127.255.255.254'],
    ['link-local, metadata services', '169.254.169.254'],
    ['protocol assignments', '192.0.0.170'],
    ['documentation', '192.0.2.1'],
    ['documentation', '198.51.100.1'],
    ['documentation', '203.0.113.1'],
    ['6to4 relay', '192.88.99.1'],
    ['benchmarking', '198.18.0.1'],
    ['multicast', '224.0.0.1'],
    ['multicast', '239.255.255.255'],
    ['reserved', '240.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['unspecified', '::'],
    ['loopback', '::1'],
    ['v4-mapped private', '::ffff:10.0.0.1'],
    ['v4-mapped private', '::ffff:7f00:1'],
    ['v4-mapped public', '::ffff:8.8.8.8'],
    ['v4-compatible', '::127.0.0.1'],
    ['v4-compatible', '::7f00:1'],
    ['v4-translated', '::ffff:0:127.0.0.1'],
    ['NAT64', '64:ff9b::127.0.0.1'],
    ['NAT64', '64:ff9b::a9fe:a9fe'],
    ['local NAT64', '64:ff9b:1::a00:1'],
    ['6to4', '2002:7f00:1::1'],
    ['Teredo', '2001:0:7f00:1::1'],
    ['documentation', '2001:db8::1'],
    ['documentation', '3fff::1'],
    ['benchmarking', '2001:2::1'],
    ['unique local', 'fc00::1'],
    ['unique local', 'fd12:3456::1'],
    ['link-local', 'fe80::1'],
    ['link-local with a zone', 'fe80::1%eth0'],
    ['a zone', '2606:4700::1111%eth0'],
    ['site-local', 'fec0::1'],
    ['multicast', 'ff02::1'],
    ['discard-only', '100::1'],
    ['unallocated', '4000::1'],
    ['no address', 'example.com'],
    ['no address', ''],
    ['an address in another spelling', '0x8.8.8.8'],
  ])('%s: %s is not public', (_what, address) => expect(isPublicAddress(address)).toBe(false))

  test('names that mean something on the local network only', () => {
    for (const name of [
      'localhost',
      'pds',
      'pds.localhost',
      'printer.local',
      'a.test',
      'x.home.arpa',
      'db.internal',
    ]) {
      expect(isLocalName(name), name).toBe(true)
    }
    for (const name of ['pds.example.com', 'local.example.com', 'test.com', 'bsky.network']) {
      expect(isLocalName(name), name).toBe(false)
    }
  })
})

describe('urlRefusal', () => {
  const policy = {
    allowPrivateNetwork: false,
    blockedHosts: new Set(['bad.example.com', '*.evil.example.com']),
  }
  const refusal = (url: string, allowPrivateNetwork = false) =>
    urlRefusal(new URL(url), { ...policy, allowPrivateNetwork })

  test('a public https URL may be asked, on any port', () => {
    expect(refusal('https://pds.example.com/xrpc/x?y=z')).toBeNull()
    expect(refusal('https://pds.example.com:8443/')).toBeNull()
    expect(refusal('https://pds.example.com:80/')).toBeNull()
  })

  test.each([
    'http://pds.example.com/',
    'ftp://pds.example.com/',
    'file:///etc/passwd',
    'data:text/plain,x',
    'https://user@pds.example.com/',
    'https://:secret@pds.example.com/',
    'https://pds.example.com:0/',
    'https://localhost/',
    'https://localhost./',
    'https://LOCALHOST/',
    'https://127.0.0.1/',
    'https://127.0.0.1./',
    'https://127.1/',
    'https://0x7f.0.0.1/',
    'https://0177.0.0.1/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://①②⑦.0.0.1/',
    'https://0/',
    'https://169.254.169.254/latest/meta-data',
    'https://[::]/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[0:0:0:0:0:ffff:7f00:1]/',
    'https://[64:ff9b::10.0.0.1]/',
    'https://[fd00::1]/',
  ])('%s may not', (url) => expect(refusal(url)).not.toBeNull())

  test('what the operator blocked is blocked wherever it is, in any spelling', () => {
    for (const allowPrivateNetwork of [false, true]) {
      expect(refusal('https://bad.example.com/', allowPrivateNetwork)).toMatch(/blocked/)
      expect(refusal('https://BAD.example.com.:8443/', allowPrivateNetwork)).toMatch(/blocked/)
      expect(refusal('https://a.b.evil.example.com/', allowPrivateNetwork)).toMatch(/blocked/)
      expect(refusal('https://evil.example.com/', allowPrivateNetwork)).toBeNull()
      expect(refusal('https://notbad.example.com/', allowPrivateNetwork)).toBeNull()
      expect(refusal('https://x.bad.example.com/', allowPrivateNetwork)).toBeNull()
    }
  })

  test('a private network lifts the rules on scheme and address, and no other', () => {
    expect(refusal('http://127.0.0.1:2583/', true)).toBeNull()
    expect(refusal('https://localhost/', true)).toBeNull()
    expect(refusal('ftp://localhost/', true)).not.toBeNull()
    expect(refusal('http://user@localhost/', true)).not.toBeNull()
  })
})

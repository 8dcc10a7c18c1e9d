import {
  bytesToMultibase,
  type Keypair,
  multibaseToBytes,
  P256Keypair,
  Secp256k1Keypair,
} from '@atproto/crypto'

export type { Keypair }

/** A key whose private part can be written down. */
export type PrivateKey = Secp256k1Keypair | P256Keypair

/** Private keys of both curves of atproto are this long. */
const KEY_BYTES = 32

/** What the curves are called in the multicodec table, as the varint that goes in front of a private key. */
const CURVES = [
  { prefix: [0x81, 0x26], Keypair: Secp256k1Keypair },
  { prefix: [0x86, 0x26], Keypair: P256Keypair },
] as const

/** A new key (K-256, the curve most of atproto uses). */
export function generateKey(): Promise<PrivateKey> {
  return Secp256k1Keypair.create({ exportable: true })
}

/**
 * Reads a private key: base58btc multibase of a multicodec private key (K-256 or P-256), such as
 * `aquifer callers new` and `goat key generate` print it.
 * @throws TypeError, which never repeats any of the text
 */
export function parsePrivateKey(text: string): PrivateKey {
  const bytes = decode(text.trim())
  const curve = CURVES.find(({ prefix }) => prefix.every((byte, index) => bytes[index] === byte))
  if (curve === undefined || bytes.length !== curve.prefix.length + KEY_BYTES) throw notAKey()
  try {
    return new curve.Keypair(bytes.slice(curve.prefix.length), true)
  } catch {
    // Zero, or beyond the order of the curve. The library's error holds the number itself.
    throw notAKey()
  }
}

/**
 * A private key as text, for `parsePrivateKey`. Whoever has it can call as the DID whose document names the key.
 * @throws Error for a key that was not made to be exported
 */
export async function formatPrivateKey(key: PrivateKey): Promise<string> {
  const curve = CURVES.find((candidate) => key instanceof candidate.Keypair)
  if (curve === undefined) throw new TypeError('only keys of @atproto/crypto can be written down')
  return bytesToMultibase(new Uint8Array([...curve.prefix, ...(await key.export())]), 'base58btc')
}

function decode(text: string): Uint8Array {
  if (!text.startsWith('z')) throw notAKey()
  try {
    return multibaseToBytes(text)
  } catch {
    throw notAKey()
  }
}

function notAKey(): TypeError {
  return new TypeError(
    'the private key must be K-256 or P-256 in multibase (it begins with "z"), as "aquifer callers new" prints it',
  )
}

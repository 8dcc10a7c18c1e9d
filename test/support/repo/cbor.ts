/** CBOR put together by hand, so that any byte of it can be wrong. */

export type Piece = Uint8Array

/** How many bytes a number takes behind the first one of its head. */
export type Width = 0 | 1 | 2 | 4 | 8

export const NULL: Piece = Uint8Array.of(0xf6)

/** The beginning of every value. @param width the shortest one is right */
export function head(majorType: number, number: number, width: Width = shortest(number)): Piece {
  const bytes = Buffer.alloc(1 + width)
  bytes[0] = (majorType << 5) | (width === 0 ? number : 24 + Math.log2(width))
  if (width === 8) bytes.writeBigUInt64BE(BigInt(number), 1)
  else if (width > 0) bytes.writeUIntBE(number, 1, width)
  return bytes
}

export const uint = (number: number, width?: Width): Piece => head(0, number, width)

export const bytes = (content: Uint8Array, width?: Width): Piece =>
  Buffer.concat([head(2, content.length, width), content])

export function text(content: string, width?: Width): Piece {
  const encoded = Buffer.from(content)
  return Buffer.concat([head(3, encoded.length, width), encoded])
}

export const array = (items: readonly Piece[]): Piece => Buffer.concat([head(4, items.length), ...items])

/** With its fields in the order they are given in. */
export function map(fields: readonly (readonly [key: string | Piece, value: Piece])[]): Piece {
  const pairs = fields.map(([key, value]) => [typeof key === 'string' ? text(key) : key, value])
  return Buffer.concat([head(5, fields.length), ...pairs.flat()])
}

/** With its fields in the order DAG-CBOR wants: shorter names first. */
export function canonicalMap(fields: Readonly<Record<string, Piece>>): Piece {
  const shorterFirst = (one: string, other: string) => one.length - other.length || (one < other ? -1 : 1)
  return map(Object.entries(fields).sort(([one], [other]) => shorterFirst(one, other)))
}

/** A link to a CID in its binary form. */
export const link = (cid: Uint8Array): Piece =>
  Buffer.concat([head(6, 42), bytes(Buffer.concat([Uint8Array.of(0), cid]))])

export const linkOrNull = (cid: Uint8Array | null): Piece => (cid ? link(cid) : NULL)

function shortest(number: number): Width {
  if (number < 24) return 0
  if (number < 2 ** 8) return 1
  if (number < 2 ** 16) return 2
  return number < 2 ** 32 ? 4 : 8
}

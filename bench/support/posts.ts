import { cidOfJson } from '../../src/atproto/content.js'

/** Posts as accounts write them: a few hundred bytes, the same in every run. */

export const COLLECTION = 'app.bsky.feed.post'

export interface Post {
  readonly rkey: string
  readonly cid: string
  readonly value: object
}

const WORDS =
  'the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when your can said there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more write go see number no way could people'.split(
    ' ',
  )
const TID_DIGITS = '234567abcdefghijklmnopqrstuvwxyz'
const BEGAN_MS = 1.7e12

/** Posts of one account, the oldest first. @param seed another one, other posts */
export function makePosts(count: number, seed: number): Post[] {
  const random = generator(seed)
  return Array.from({ length: count }, (_, index) => {
    const value = makeValue(index, random)
    return { rkey: tidOf(BEGAN_MS + index * 37_000), cid: cidOfJson(value)!, value }
  })
}

/** The TID of a moment (ms since epoch). */
export function tidOf(moment: number): string {
  let rest = (BigInt(moment) * 1000n) << 10n
  let tid = ''
  for (let digit = 0; digit < 13; digit += 1) {
    tid = TID_DIGITS[Number(rest & 31n)]! + tid
    rest >>= 5n
  }
  return tid
}

/** Every other one an answer; the rest with a link in the text or below it. */
function makeValue(index: number, random: () => number): object {
  const post = {
    $type: COLLECTION,
    text: makeText(60 + random() * 160, random),
    langs: ['en'],
    createdAt: new Date(BEGAN_MS + index * 37_000).toISOString(),
  }
  const kind = random()
  if (kind < 0.5) {
    const parent = {
      cid: cidOfJson({ index })!,
      uri: `at://did:plc:${'z'.repeat(24)}/${COLLECTION}/${tidOf(index)}`,
    }
    return { ...post, reply: { root: parent, parent } }
  }
  const uri = `https://example.com/${makeText(30, random).replaceAll(' ', '-')}`
  if (kind < 0.75) {
    const features = [{ $type: 'app.bsky.richtext.facet#link', uri }]
    return { ...post, facets: [{ index: { byteStart: 12, byteEnd: 40 }, features }] }
  }
  const external = { uri, title: makeText(30, random), description: makeText(80, random) }
  return { ...post, embed: { $type: 'app.bsky.embed.external', external } }
}

function makeText(length: number, random: () => number): string {
  let text = ''
  while (text.length < length) text += `${WORDS[Math.floor(random() * WORDS.length)]} `
  return text.trimEnd()
}

/** Numbers from 0 up to 1 (xorshift). */
function generator(seed: number): () => number {
  let state = (seed + 1) * 0x9e3779b1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/**
 * The origin of an address.
 * @param field what the caller calls it
 * @throws TypeError for anything but scheme, host and port
 */
export function originOf(field: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  const bare = url && url.pathname === '/' && url.search === '' && url.hash === '' && url.username === ''
  if (bare && url.password === '' && ['http:', 'https:'].includes(url.protocol)) return url.origin
  throw new TypeError(`${field} must be an origin such as https://backfill.example.com, without a path`)
}

/** Whether what is sent there can be read on the way. This machine itself is no way. */
export function isPrivateWay(origin: string): boolean {
  const { protocol, hostname } = new URL(origin)
  return protocol === 'https:' || ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
}

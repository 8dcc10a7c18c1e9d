import type { StoredRecord } from '../store/records.js'

export function recordUri(record: Pick<StoredRecord, 'did' | 'collection' | 'rkey'>): string {
  return `at://${record.did}/${record.collection}/${record.rkey}`
}

/**
 * A record as one line of JSON: `{"uri":…,"cid":…,"value":…}`. The value's text goes in as it was stored, so it
 * comes out byte for byte as it came in.
 */
export function recordLine(record: Omit<StoredRecord, 'rev'>): string {
  const head = `{"uri":${JSON.stringify(recordUri(record))},"cid":${JSON.stringify(record.cid)}`
  return record.value === null ? `${head}}` : `${head},"value":${record.value}}`
}

/**
 * The records of a `range`, for a `select` of theirs: of a repo and collection, behind a key, in the order of their keys.
 * Since a rev only those that have changed, gone ones too; of what was stored without a rev nobody knows whether it has.
 */
export const RECORDS_IN_RANGE = `
  from record
  where record.repo = range.repo and record.collection = range.collection and record.rkey > range.after
    and case
      when range.since is null then record.cid is not null
      else record.rev is null or record.rev > range.since
    end
  order by record.rkey`

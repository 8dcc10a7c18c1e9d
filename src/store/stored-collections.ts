/**
 * A query for the numbers of the collections of which rows of a repo are stored, `collection`. It takes one look at the
 * index for each, however many rows there are.
 * @param repo the repo's number, as an expression
 */
export const storedCollectionIds = (repo: string) => `
  with recursive seen as (
    (select collection from record where repo = ${repo} order by collection limit 1)
    union all
    select (
      select later.collection from record later
      where later.repo = ${repo} and later.collection > seen.collection order by later.collection limit 1
    )
    from seen where seen.collection is not null
  )
  select collection from seen where collection is not null`

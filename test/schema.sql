-- The schema as the migrations make it, written by `npm run schema:dump`. To change it, change the migrations.

create type failure_class as enum (
  'host-unavailable',
  'dns-failure',
  'connection-failed',
  'timeout',
  'host-error',
  'bad-response',
  'incomplete-car',
  'too-slow',
  'directory-unavailable',
  'did-not-found',
  'did-invalid',
  'host-blocked',
  'repo-not-found',
  'body-too-large',
  'cursor-loop',
  'cid-mismatch',
  'bad-signature',
  'did-mismatch',
  'bad-tree',
  'rev-regressed',
  'unverifiable'
);

create type fetch_method as enum (
  'list-records',
  'get-repo',
  'sparse',
  'unchanged'
);

create type job_details as enum (
  'kept',
  'deleting',
  'deleted'
);

create type job_purge as enum (
  'purging',
  'purged'
);

create type job_stage as enum (
  'pending',
  'discovering-repos',
  'resolving-and-fetching',
  'completed',
  'failed',
  'cancelled'
);

create type job_status as enum (
  'running',
  'pausing',
  'paused',
  'cancelling',
  'cancelled',
  'completed',
  'failed'
);

create type proof_level as enum (
  'none',
  'content',
  'signed'
);

create type repo_status as enum (
  'waiting',
  'resolved',
  'fetching',
  'completed',
  'unavailable',
  'failed'
);

create type requested_method as enum (
  'auto',
  'list-records',
  'get-repo',
  'sparse'
);

create type unavailable_reason as enum (
  'deactivated',
  'takendown',
  'suspended',
  'deleted',
  'tombstoned'
);

create table account_state (
  repo bigint not null,
  reason unavailable_reason,
  seen_at timestamp with time zone not null,
  untold boolean not null,
  unpurged boolean not null,
  constraint account_state_pkey PRIMARY KEY (repo)
);
CREATE INDEX account_state_unpurged ON public.account_state USING btree (repo) WHERE unpurged;
CREATE INDEX account_state_untold ON public.account_state USING btree (repo) WHERE untold;

create table caller (
  did text collate "C" not null,
  permissions text[] not null,
  jobs_of text[] default '{}'::text[] not null,
  running_jobs bigint,
  repos_per_job bigint,
  requests_per_minute bigint,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  streams bigint,
  constraint caller_pkey PRIMARY KEY (did)
);

create table collection (
  id integer generated always as identity not null,
  nsid text collate "C" not null,
  constraint collection_pkey PRIMARY KEY (id),
  constraint collection_nsid_key UNIQUE (nsid)
);

create table engagement (
  job integer not null,
  worker uuid not null,
  constraint engagement_pkey PRIMARY KEY (job, worker),
  constraint engagement_job_fkey FOREIGN KEY (job) REFERENCES job(key) ON DELETE CASCADE,
  constraint engagement_worker_fkey FOREIGN KEY (worker) REFERENCES worker(id) ON DELETE CASCADE
);
CREATE INDEX engagement_worker ON public.engagement USING btree (worker);

create table host (
  id integer generated always as identity not null,
  origin text collate "C" not null,
  epoch bigint default 0 not null,
  next_request_at timestamp with time zone default '-infinity'::timestamp with time zone not null,
  failures smallint default 0 not null,
  parked boolean default false not null,
  parkings smallint default 0 not null,
  refusals smallint default 0 not null,
  unstated smallint default 0 not null,
  unanswered_since timestamp with time zone,
  given_up boolean default false not null,
  budget jsonb,
  unsupported text[] default '{}'::text[] not null,
  unsupported_at timestamp with time zone,
  constraint host_pkey PRIMARY KEY (id),
  constraint host_origin_key UNIQUE (origin)
) with (fillfactor=70);
CREATE INDEX host_unanswered ON public.host USING btree (unanswered_since) WHERE (unanswered_since IS NOT NULL);

create table host_turns (
  host integer not null,
  taken_until timestamp with time zone default '-infinity'::timestamp with time zone not null,
  constraint host_turns_pkey PRIMARY KEY (host),
  constraint host_turns_host_fkey FOREIGN KEY (host) REFERENCES host(id) ON DELETE CASCADE
) with (fillfactor=50);

create table identity (
  did text collate "C" not null,
  document json not null,
  handle text,
  updated_at timestamp with time zone not null,
  constraint identity_pkey PRIMARY KEY (did)
);

create table job (
  key integer generated always as identity not null,
  id text collate "C" not null,
  caller text collate "C" not null,
  client_token text,
  input_hash text,
  name text,
  scope integer not null,
  collections text[],
  repo_count integer,
  hosts text[],
  method requested_method not null,
  level proof_level not null,
  status job_status not null,
  stage job_stage not null,
  discovery_complete boolean default false not null,
  error text,
  created_at timestamp with time zone not null,
  started_at timestamp with time zone,
  completed_at timestamp with time zone,
  details job_details default 'kept'::job_details not null,
  repo_limit bigint,
  retrying failure_class[],
  manifest_of timestamp with time zone,
  refreshes text collate "C",
  refresh_after text collate "C",
  purge job_purge,
  constraint job_pkey PRIMARY KEY (key),
  constraint job_id_key UNIQUE (id),
  constraint job_scope_fkey FOREIGN KEY (scope) REFERENCES scope(id)
);
CREATE INDEX job_caller ON public.job USING btree (caller, id);
CREATE INDEX job_caller_unfinished ON public.job USING btree (caller) WHERE (status = ANY (ARRAY['running'::job_status, 'pausing'::job_status, 'paused'::job_status, 'cancelling'::job_status]));
CREATE UNIQUE INDEX job_client_token ON public.job USING btree (caller, client_token) WHERE (client_token IS NOT NULL);
CREATE INDEX job_details_deleting ON public.job USING btree (key) WHERE (details = 'deleting'::job_details);
CREATE INDEX job_ended ON public.job USING btree (completed_at) WHERE ((completed_at IS NOT NULL) AND (details = 'kept'::job_details));
CREATE INDEX job_manifest_due ON public.job USING btree (key) WHERE ((completed_at IS NOT NULL) AND (details = 'kept'::job_details) AND (manifest_of IS DISTINCT FROM completed_at));
CREATE INDEX job_purging ON public.job USING btree (key) WHERE (purge = 'purging'::job_purge);
CREATE INDEX job_refreshing ON public.job USING btree (key) WHERE (refresh_after IS NOT NULL);
CREATE INDEX job_retrying ON public.job USING btree (key) WHERE (retrying IS NOT NULL);
CREATE INDEX job_unfinished ON public.job USING btree (key) WHERE (status = ANY (ARRAY['running'::job_status, 'pausing'::job_status, 'paused'::job_status, 'cancelling'::job_status]));

create table job_failure (
  job integer not null,
  class failure_class not null,
  count bigint not null,
  constraint job_failure_pkey PRIMARY KEY (job, class),
  constraint job_failure_job_fkey FOREIGN KEY (job) REFERENCES job(key) ON DELETE CASCADE
);

create table job_progress (
  job integer not null,
  seq bigint default 0 not null,
  total bigint default 0 not null,
  resolved bigint default 0 not null,
  completed bigint default 0 not null,
  unavailable bigint default 0 not null,
  failed bigint default 0 not null,
  records bigint default 0 not null,
  state_seq bigint default 0 not null,
  stopped boolean default false not null,
  constraint job_progress_pkey PRIMARY KEY (job),
  constraint job_progress_job_fkey FOREIGN KEY (job) REFERENCES job(key) ON DELETE CASCADE
) with (fillfactor=50);

create table job_repo (
  id bigint generated always as identity not null,
  repo bigint not null,
  job integer not null,
  host integer,
  did text collate "C" not null,
  status repo_status default 'waiting'::repo_status not null,
  method fetch_method,
  failure failure_class,
  reason unavailable_reason,
  attempts smallint default 0 not null,
  records integer default 0 not null,
  seq bigint not null,
  retry_at timestamp with time zone,
  progress jsonb,
  message text,
  changed_at timestamp with time zone default now() not null,
  rev text collate "C",
  since_rev text collate "C",
  constraint job_repo_pkey PRIMARY KEY (job, did),
  constraint job_repo_job_fkey FOREIGN KEY (job) REFERENCES job(key) ON DELETE CASCADE
) with (fillfactor=85);
CREATE INDEX job_repo_backing_off ON public.job_repo USING btree (host, job) WHERE ((status = ANY (ARRAY['resolved'::repo_status, 'fetching'::repo_status])) AND (retry_at IS NOT NULL));
CREATE INDEX job_repo_changed ON public.job_repo USING btree (job, seq);
CREATE INDEX job_repo_due ON public.job_repo USING btree (host, job, id) WHERE ((status = ANY (ARRAY['resolved'::repo_status, 'fetching'::repo_status])) AND (retry_at IS NULL));
CREATE INDEX job_repo_later ON public.job_repo USING btree (retry_at) WHERE (retry_at IS NOT NULL);
CREATE INDEX job_repo_repo ON public.job_repo USING btree (repo);
CREATE INDEX job_repo_status ON public.job_repo USING btree (job, status, did) WHERE (status <> 'completed'::repo_status);
CREATE INDEX job_repo_unresolved ON public.job_repo USING btree (job, id) WHERE ((status = 'waiting'::repo_status) AND (retry_at IS NULL));

create table listing (
  job integer not null,
  origin text collate "C" not null,
  lists text collate "C" not null,
  cursor text,
  pages integer default 0 not null,
  mark text,
  done boolean default false not null,
  attempts smallint default 0 not null,
  retry_at timestamp with time zone,
  failure text,
  host integer,
  constraint listing_pkey PRIMARY KEY (job, origin, lists),
  constraint listing_job_fkey FOREIGN KEY (job) REFERENCES job(key) ON DELETE CASCADE
);
CREATE INDEX listing_host ON public.listing USING btree (host) WHERE ((host IS NOT NULL) AND (NOT done) AND (failure IS NULL));

create table manifest (
  job integer not null,
  completed_at timestamp with time zone not null,
  hash text not null,
  head text not null,
  receipts bigint not null,
  parts integer not null,
  built_at timestamp with time zone not null,
  constraint manifest_pkey PRIMARY KEY (job),
  constraint manifest_job_fkey FOREIGN KEY (job) REFERENCES job(key) ON DELETE CASCADE
);

create table manifest_part (
  job integer not null,
  completed_at timestamp with time zone not null,
  part integer not null,
  last_did text collate "C" not null,
  tally jsonb not null,
  lines bytea not null,
  constraint manifest_part_pkey PRIMARY KEY (job, completed_at, part),
  constraint manifest_part_job_fkey FOREIGN KEY (job) REFERENCES job(key) ON DELETE CASCADE
);

create table reading_page (
  job integer not null,
  repo bigint not null,
  reading bigint not null,
  collection integer not null,
  rkeys text[] collate "C" not null,
  constraint reading_page_job_fkey FOREIGN KEY (job) REFERENCES job(key) ON DELETE CASCADE
);
CREATE INDEX reading_page_repo ON public.reading_page USING btree (job, repo);

create table receipt (
  repo bigint not null,
  scope integer not null,
  records integer not null,
  level proof_level not null,
  method fetch_method not null,
  host integer not null,
  rev text collate "C",
  data_cid text collate "C",
  counts jsonb not null,
  completed_at timestamp with time zone not null,
  unreadable integer default 0 not null,
  unreadable_first jsonb,
  read_from timestamp with time zone,
  constraint receipt_pkey PRIMARY KEY (repo, scope)
);

create table record (
  repo bigint not null,
  collection integer not null,
  level proof_level not null,
  rkey text collate "C" not null,
  cid text collate "C",
  rev text collate "C",
  value json,
  constraint record_pkey PRIMARY KEY (repo, collection, rkey)
);

create table repo (
  id bigint generated always as identity not null,
  did text collate "C" not null,
  constraint repo_pkey PRIMARY KEY (id),
  constraint repo_did_key UNIQUE (did)
);

create table repo_rev (
  repo bigint not null,
  host integer not null,
  rev text collate "C" not null,
  first_seen_at timestamp with time zone not null,
  seen_at timestamp with time zone not null,
  constraint repo_rev_pkey PRIMARY KEY (repo)
) with (fillfactor=70);

create unlogged table request_count (
  did text collate "C" not null,
  minute bigint not null,
  count integer not null,
  constraint request_count_pkey PRIMARY KEY (did)
) with (fillfactor=50);

create table rev_listing (
  host integer not null,
  jobs integer[] not null,
  began_at timestamp with time zone not null,
  cursor text,
  pages integer default 0 not null,
  mark text,
  listed bigint default 0 not null,
  wanted bigint default 0 not null,
  done boolean default false not null,
  attempts smallint default 0 not null,
  retry_at timestamp with time zone,
  constraint rev_listing_pkey PRIMARY KEY (host),
  constraint rev_listing_host_fkey FOREIGN KEY (host) REFERENCES host(id) ON DELETE CASCADE
) with (fillfactor=50);

create table scope (
  id integer generated always as identity not null,
  hash text collate "C" not null,
  collections text[] not null,
  constraint scope_pkey PRIMARY KEY (id),
  constraint scope_hash_key UNIQUE (hash)
);

create table spent_token (
  issuer text collate "C" not null,
  jti text collate "C" not null,
  expires_at timestamp with time zone not null,
  constraint spent_token_pkey PRIMARY KEY (issuer, jti)
);
CREATE INDEX spent_token_expiry ON public.spent_token USING btree (expires_at);

create table start_cursor (
  job integer not null,
  relay text collate "C" not null,
  seq bigint,
  attempts smallint default 0 not null,
  retry_at timestamp with time zone,
  failure text,
  constraint start_cursor_pkey PRIMARY KEY (job, relay),
  constraint start_cursor_job_fkey FOREIGN KEY (job) REFERENCES job(key) ON DELETE CASCADE
);
CREATE INDEX start_cursor_open ON public.start_cursor USING btree (job) WHERE ((seq IS NULL) AND (failure IS NULL));

create table worker (
  id uuid not null,
  alive_until timestamp with time zone not null,
  backend integer,
  reported_at timestamp with time zone default now() not null,
  tasks jsonb default '[]'::jsonb not null,
  constraint worker_pkey PRIMARY KEY (id)
) with (fillfactor=50);

create view readable_record as
 SELECT (((('at://'::text || repo.did) || '/'::text) || collection.nsid) || '/'::text) || record.rkey AS uri,
    repo.did,
    collection.nsid AS collection,
    record.rkey,
    record.cid,
    record.rev,
    record.level,
    record.value
   FROM record
     JOIN repo ON repo.id = record.repo
     JOIN collection ON collection.id = record.collection
  WHERE record.cid IS NOT NULL;

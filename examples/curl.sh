#!/usr/bin/env bash
# A whole backfill with nothing but curl: start a job, wait for its end, read the first records.
#
# Run it in a folder where the package is installed (it signs the tokens):
#
#   AQUIFER_SERVICE=http://localhost:3000 AQUIFER_DID=did:web:app.example.com AQUIFER_KEY="$(cat app.key)" \
#   ./curl.sh com.example.post
set -euo pipefail

: "${AQUIFER_SERVICE:=http://localhost:3000}"
: "${AQUIFER_DID:?the DID of your service}" "${AQUIFER_KEY:?its private key, as \"aquifer callers new\" prints it}"
export AQUIFER_DID AQUIFER_KEY
collection=${1:?usage: curl.sh COLLECTION}

# The field $1 of the JSON object on standard input.
field() {
  node --print "JSON.parse(require('node:fs').readFileSync(0, 'utf8'))['$1'] ?? ''"
}

# A token is signed with your key, for one service and one method. It works once, within a minute.
token() {
  node --input-type=module --eval '
    import { mintServiceToken, parsePrivateKey } from "aquifer/client"
    const [audience, lxm] = process.argv.slice(1)
    const { AQUIFER_DID: did, AQUIFER_KEY: key } = process.env
    process.stdout.write(await mintServiceToken({ did, key: parsePrivateKey(key), audience, lxm }))
  ' "$audience" "$1"
}

# Calls the method $1; what follows goes to curl. The token comes by standard input, so that nobody sees it in the
# list of processes. A refusal is JSON too: {"error": its name, "message": what is wrong}.
call() {
  local method=network.example.backfill.$1 bearer answer
  bearer=$(token "$method")
  shift
  answer=$(curl --silent --show-error --fail-with-body --header @- "$@" \
    --url "$AQUIFER_SERVICE/xrpc/$method" <<<"authorization: Bearer $bearer") || {
    echo "$answer" >&2
    return 1
  }
  echo "$answer"
}

# Tokens are addressed to the service's DID; it tells it to everybody.
audience=$(curl --silent --show-error --fail "$AQUIFER_SERVICE/xrpc/network.example.backfill.describeService" | field did)

job=$(call createJob --json "{\"collections\": [\"$collection\"]}" | field id)
echo "job $job" >&2

status=running
while [[ $status == running ]]; do
  sleep 1
  status=$(call getJobStatus --get --data-urlencode "job=$job" | field status)
  echo "$status" >&2
done

# One page; its cursor leads to the next one.
call listRecords --get --data-urlencode "job=$job" --data-urlencode limit=100

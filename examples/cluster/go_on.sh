#!/bin/bash
# Begin a run on a Ray that is there, or go on with it if it has begun:
#   go_on.sh DIRECTORY ADDRESS MINUTES SYSTEM [OPTIONS...]
set -euo pipefail
directory=$1 address=$2 minutes=$3
shift 3
where=(--minutes "$minutes" --pool ray --workers auto --address "$address")
if [ -e "$directory/run.json" ]; then
    exec aiga resume "$directory" "${where[@]}"
fi
exec aiga run "$@" --out "$directory" "${where[@]}"

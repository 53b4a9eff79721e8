#!/bin/sh
# Put another server in the place of the one that serves on a socket that papa holds; no connection is refused.
#
#     deploy.sh NAME READY COMMAND...
#
# starts COMMAND as the next generation, NAME.1, NAME.2 and so on, on the held socket NAME; waits until it has printed
# a line that matches the regular expression READY; and only then asks the generation before it to end. If the new one
# does not come up, it is ended, and the old one goes on.
set -eu
name=$1 ready=$2
shift 2

old=$(papa value get "$name.generation" 2> /dev/null || echo 0)
new=$((old + 1))
papa run -d --listen "$name" "$name.$new" -- "$@"
if ! papa wait --for "output=$ready" --timeout "${PATIENCE:-30}" "$name.$new"; then
    papa logs "$name.$new" || true
    papa signal TERM "$name.$new" || true
    papa rm "$name.$new" || true
    echo "$name.$new did not come up: $name.$old goes on" >&2
    exit 1
fi
papa value set "$name.generation" "$new"
# It may have ended by itself, and whoever collects ends may be quicker than we.
if [ "$old" -gt 0 ] && papa signal TERM "$name.$old"; then
    papa wait "$name.$old" || true
fi
echo "$name.$new serves"

#!/bin/sh
# Count to 2000, a hundred at a time.
first=1
while [ "$first" -lt 2000 ]; do
    seq "$first" "$((first + 99))"
    first=$((first + 100))
    sleep 0.2
done

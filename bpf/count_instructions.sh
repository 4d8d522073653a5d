#!/bin/sh
# count_instructions.sh OBJECT: the instructions of every program in a BPF object, one `object/name count` a line.
object=$(basename "$1" | cut -d. -f1)
readelf -sW "$1" | awk -v object="$object" '$4 == "FUNC" { print object "/" $8, $3 / 8 }' | LC_ALL=C sort

#!/bin/sh
# count_instructions.sh OBJECT: the instructions of every program in a BPF object, one `name count` a line.
readelf -sW "$1" | awk '$4 == "FUNC" { print $8, $3 / 8 }' | sort

# README's first command, small.
"$COLONNADE" demo --scale 0.01 --exit

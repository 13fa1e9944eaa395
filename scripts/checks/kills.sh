# The run of mixed.sh with the server killed at random moments: it opens again each time, with everything that was acknowledged, and
# with all or nothing of what was not. Full form: scripts/full kills.
KILLS=${KILLS:-6} ROWS=${ROWS:-15000} SEED=${SEED:-2}
. scripts/checks/mixed.sh

# The quick tier of the reliability scorecard: crashes, power loss, full and failing disks. In full: scripts/reliability --tier full.
scripts/reliability --tier quick

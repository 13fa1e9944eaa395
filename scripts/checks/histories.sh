# Histories of concurrent transactions, with merges, DDL and kills beside them, have none of the anomalies that their isolation level
# forbids; and the checker finds each anomaly in a history made by hand. Full form: scripts/full histories; scripts/full calibrate tries
# the checker on PostgreSQL 15. By these variables: HISTORIES (8), TRANSACTIONS (1000) of each, SEED (1)
scripts/python scripts/histories/cases.py
scripts/python scripts/histories many --histories "${HISTORIES:-8}" --transactions "${TRANSACTIONS:-1000}" --seed "${SEED:-1}"

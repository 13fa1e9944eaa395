# TPC-C's program judged by PostgreSQL 15: one warehouse, the five transactions at each isolation level and in each manner of sending,
# `check` meanwhile and afterwards; then each of the twelve conditions is broken by hand, and `check` names it.
PYTHONPATH=scripts/oracle scripts/python scripts/checks/tpcc.py "$BUILD/tpcc"

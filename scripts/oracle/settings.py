#!/usr/bin/env python3
"""Writes crates/sql/src/settings/postgres15.tsv from a running PostgreSQL 15.

Usage: settings.py postgres://postgres@127.0.0.1:5432/postgres > crates/sql/src/settings/postgres15.tsv
Only settings a session can change or a client asks for; the others are about how PostgreSQL itself runs.
Columns: name, vartype, unit, context, boot value, min, max, enum values (comma-separated), category, description.
"""
import subprocess
import sys

QUERY = """
SELECT name, vartype, coalesce(unit, ''), context, coalesce(boot_val, ''), coalesce(min_val, ''), coalesce(max_val, ''),
       coalesce(array_to_string(enumvals, ','), ''), category, short_desc
FROM pg_settings
WHERE context IN ('user', 'superuser', 'internal') AND name <> 'extension_destdir'
   OR name IN ('listen_addresses', 'max_connections', 'max_locks_per_transaction', 'max_prepared_transactions', 'port',
               'superuser_reserved_connections', 'wal_level')
ORDER BY lower(name) COLLATE "C"
"""

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows = subprocess.run(["psql", "-X", "-A", "-t", "-F", "\t", "-d", sys.argv[1], "-c", QUERY],
                          check=True, capture_output=True, text=True).stdout
    sys.stdout.write(rows)

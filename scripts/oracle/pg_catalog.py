#!/usr/bin/env python3
"""Writes crates/sql/src/pg_catalog/data/*.tsv from a running PostgreSQL 15: what its system catalogs look like, and the rows of
those that are the same everywhere.

Usage: pg_catalog.py postgres://postgres@127.0.0.1:5432/postgres crates/sql/src/pg_catalog/data
relations.tsv: schema, relation, oid, kind, then column:type pairs; views.tsv: schema, view, definition; the others: a head line of
column names, then rows, in the text form of COPY. Domains are written as the types under them.
"""
import pathlib
import subprocess
import sys

SYSTEM = "('pg_catalog', 'information_schema')"

RELATIONS = f"""
SELECT n.nspname, c.relname, c.oid, c.relkind,
       (SELECT string_agg(a.attname || ':' || b.typname || CASE WHEN a.attnotnull THEN '!' ELSE '' END, ' ' ORDER BY a.attnum)
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
        WHERE a.attrelid = c.oid AND a.attnum > 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN {SYSTEM} AND c.relkind IN ('r', 'v')
ORDER BY 1, 2
"""

VIEWS = f"""
SELECT n.nspname, c.relname, pg_get_viewdef(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN {SYSTEM} AND c.relkind = 'v'
ORDER BY 1, 2
"""

# Relations whose rows do not depend on what users create, with the columns worth having; the others are NULL or zero.
ROWS = {
    "pg_type": ("oid, typname, typnamespace, typowner, typlen, typbyval, typtype, typcategory, typispreferred, typisdefined, typdelim, "
                "0 AS typrelid, typsubscript, typelem, typarray, typinput, typoutput, typreceive, typsend, typmodin, typmodout, "
                "typanalyze, typalign, typstorage, typnotnull, typbasetype, typtypmod, typndims, typcollation",
                "typtype IN ('b', 'p', 'r', 'm', 'd') AND typnamespace IN (11, 'information_schema'::regnamespace) "
                "AND (typelem = 0 OR (SELECT e.typtype <> 'c' FROM pg_type e WHERE e.oid = t.typelem))"),
    "pg_am": ("*", "amname IN ('heap', 'btree')"),
    "pg_collation": ("*", "collname IN ('default', 'C', 'POSIX', 'ucs_basic')"),
    "pg_language": ("*", "lanname = 'internal'"),
    "pg_proc": ("oid, proname, pronamespace, proowner, prolang, procost, prorows, provariadic, prosupport, prokind, prosecdef, "
                "proleakproof, proisstrict, proretset, provolatile, proparallel, pronargs, pronargdefaults, prorettype, proargtypes",
                "pronamespace = 11"),
    "pg_operator": ("*", "oprnamespace = 11"),
    "pg_cast": ("*", "true"),
    "pg_aggregate": ("*", "true"),
    "pg_range": ("*", "true"),
    "pg_opclass": ("*", "opcmethod = 403"),
    "pg_opfamily": ("*", "opfmethod = 403"),
    "pg_tablespace": ("*", "spcname = 'pg_default'"),
    "pg_description": ("objoid, classoid, objsubid, description", "classoid = 'pg_namespace'::regclass AND objoid IN (11, 2200)"),
}


def run(url, query):
    command = ["psql", "-X", "-q", "-d", url, "-v", "ON_ERROR_STOP=1", "-c", f"COPY ({query}) TO STDOUT"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main(url, target):
    out = pathlib.Path(target)
    out.mkdir(parents=True, exist_ok=True)
    (out / "relations.tsv").write_text(run(url, RELATIONS))
    (out / "views.tsv").write_text(run(url, VIEWS))
    for relation, (columns, where) in ROWS.items():
        names = run(url, f"SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute "
                         f"WHERE attrelid = '{relation}'::regclass AND attnum > 0").strip().split(" ")
        if columns == "*":
            heads = names
        else:
            heads = [part.split(" AS ")[-1].strip() for part in columns.split(",")]
        rows = run(url, f"SELECT {columns} FROM {relation} t WHERE {where} ORDER BY 1, 2")
        (out / f"{relation}.tsv").write_text("\t".join(heads) + "\n" + rows)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])

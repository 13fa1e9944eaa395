#!/usr/bin/env python3
"""Runs psql's \\d commands, and queries of the system relations, on the server and on PostgreSQL 15 and compares what they print.

    scripts/python scripts/checks/psql.py PORT

PORT is that of a server on 127.0.0.1 that trusts user postgres and has an empty database. PostgreSQL 15 is started here (see
scripts/oracle/postgres15.py). Exits with 1 if anything differs.
"""

import difflib
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))

import postgres15

OBJECTS = """
create table items (id integer primary key, name varchar(20) not null, price numeric(8,2) default 1.5, note text default 'none',
  added date, flag boolean, "Odd Col" char(3));
create table pairs (a bigint, b smallint, c timestamp, d timestamptz, e double precision, f real, g bytea, h uuid, i time, j interval,
  primary key (b, a));
create table plain (x integer);
create schema shop;
create table shop.orders (id bigint not null, who text, "Select" integer, constraint orders_key primary key (id));
create table marked (k integer primary key, a integer, b text, c numeric(10,2), d date, e varchar(10), g boolean not null,
  constraint marked_pair unique (a, b), unique nulls not distinct (d), check (a > 0), check (b <> ''), check (c >= 0 and (b is null or g)),
  constraint short check (length(e) < 5 or e in ('exception', 'other')));
alter table marked add constraint later check (a between 1 and 10) not valid;
create index on marked (a desc, b nulls first, c desc nulls last);
create unique index marked_once on marked (a, c) nulls not distinct where a > 10;
create index on marked (lower(b), (a + k), e, upper(e));
create index marked_case on marked ((case when a > 1 then b else 'q' end)) where g and not (a is null or b like 'x%');
create index marked_in on marked (coalesce(a, 0)) where b in ('x', 'y') and d > '2024-1-1' and c > 5;
create table refers (id integer primary key, x integer references marked on delete cascade, y integer, z text,
  foreign key (y, z) references marked (a, b) on update set null on delete set default deferrable initially deferred,
  constraint to_itself foreign key (x) references refers match full on delete set null (x) deferrable);
alter table refers add constraint unchecked foreign key (id) references shop.orders not valid;
create view cheap as select id, name from items where price < 2;
insert into items (id, name) values (1, 'one');
"""

# Everything psql prints is the same.
EXACT = r"""
\d
\d items
\d pairs
\d plain
\d cheap
\d shop.orders
\d items_pkey
\d marked
\d marked_pair
\d refers
\d+ refers
\d marked_once
\d marked_lower_expr_e_upper_idx
\d+ marked_case
\d+ marked
\d nothing
\d+ items
\d+ pairs
\dt
\dt shop.*
\dt nothing
\di
\dv
\dv+
\ds
\du
\df
\df pg_size_pretty
\da nothing
\dT
\dT+
\dp
\dD
\dx nothing
\dRp
\sf nothing
""".strip().splitlines()

# The same but for: owners and privileges (we have one user), sizes, databases that are templates (we have none), ports, and the
# layout of a view's query (it is kept as it was written).
MASKED = r"""
\dt+
\di+
\dn
\dn+
\l
\l+
\conninfo
\d+ cheap
""".strip().splitlines()
MASKED_COLUMNS = {"Owner", "Access privileges", "Size"}

# What drivers and tools ask, in short.
QUERIES = """
select table_schema, table_name, table_type from information_schema.tables where table_schema in ('public', 'shop') order by 1, 2
select column_name, data_type, is_nullable, column_default, character_maximum_length, numeric_precision, numeric_scale, udt_name from information_schema.columns where table_name = 'items' order by ordinal_position
select constraint_name, table_name, column_name, ordinal_position from information_schema.key_column_usage where table_schema in ('public', 'shop') order by 1, 2, 4
select constraint_name, constraint_type from information_schema.table_constraints where constraint_type = 'PRIMARY KEY' and table_schema = 'public' order by 1
select schema_name from information_schema.schemata order by 1
select tablename, hasindexes from pg_tables where schemaname = 'public' order by 1
select * from pg_indexes where schemaname in ('public', 'shop') order by indexname
select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid) from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum where a.attrelid = 'public.items'::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum
select conname, contype, conkey, pg_get_constraintdef(oid) from pg_constraint where conrelid in ('items'::regclass, 'pairs'::regclass) order by 1
select c.relname, array(select attname from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any(i.indkey) order by attnum) from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = 'pairs'::regclass
select t.typname, t.typtype, t.typelem, r.rngsubtype, t.typbasetype, n.nspname, t.typrelid from pg_catalog.pg_type t left outer join pg_catalog.pg_range r on r.rngtypid = t.oid inner join pg_catalog.pg_namespace n on t.typnamespace = n.oid where t.oid = 1009
with recursive t(n) as (select 1 union all select n + 1 from t where n < 4) select n, n::regtype is not null from t
select conname, contype, conkey, convalidated, conindid::regclass, connoinherit, pg_get_constraintdef(oid), pg_get_constraintdef(oid, true) from pg_constraint where conrelid = 'marked'::regclass order by 1
select conname, contype, condeferrable, condeferred, convalidated, conindid::regclass, confrelid::regclass, confupdtype, confdeltype, confmatchtype, conkey, confkey, confdelsetcols, conpfeqop, pg_get_constraintdef(oid) from pg_constraint where conrelid = 'refers'::regclass order by 1
select constraint_name, unique_constraint_name, match_option, update_rule, delete_rule from information_schema.referential_constraints order by 1
select constraint_name, table_name, column_name from information_schema.constraint_column_usage where constraint_name like 'refers%' order by 1, 3
select indexrelid::regclass, indnatts, indisunique, indnullsnotdistinct, indisprimary, indkey, indcollation, indoption, pg_get_expr(indexprs, indrelid), pg_get_expr(indpred, indrelid) from pg_index where indrelid = 'marked'::regclass order by indexrelid
select indexname, indexdef from pg_indexes where tablename = 'marked' order by 1
select pg_get_indexdef('marked_lower_expr_e_upper_idx'::regclass, n, false), pg_get_indexdef('marked_lower_expr_e_upper_idx'::regclass, n, true) from (values (0), (1), (2), (3), (4), (5)) as v(n)
select constraint_name, constraint_type, is_deferrable, nulls_distinct from information_schema.table_constraints where table_name = 'marked' and constraint_name not like '%not_null' order by 1
select constraint_name, column_name, ordinal_position from information_schema.key_column_usage where table_name = 'marked' order by 1, 3
select constraint_name, column_name from information_schema.constraint_column_usage where table_name = 'marked' order by 1, 2
select constraint_name, check_clause from information_schema.check_constraints where constraint_name in ('short', 'later', 'marked_a_check') order by 1
select relname, relkind, relnatts, relhasindex, relchecks from pg_class where relname like 'marked%' order by 1
select attrelid::regclass, attname, atttypid::regtype, attnum from pg_attribute where attrelid in ('marked_case'::regclass, 'marked_lower_expr_e_upper_idx'::regclass) order by 1, 4
select current_schema(), current_database(), current_user, current_schemas(true)
select 'items'::regclass, 'int4'::regtype, 23::regtype, to_regclass('nothing'), 'shop.orders'::regclass
select distinct on (relkind) relkind, relname from pg_class where relnamespace = 'public'::regnamespace order by relkind, relname desc
select relkind, count(*), string_agg(relname, ',' order by relname) from pg_class where relnamespace = 'public'::regnamespace group by relkind having count(*) > 0 order by 1
select x.n, y.relname from (values (1), (2)) x(n) left join lateral (select relname from pg_class where relname = 'items' and x.n = 1) y on true order by 1
select id, c.relkind from items join pg_class c on c.relname = 'items'
select nothing from pg_class
select nothing(1) from pg_class
select 1 from pg_nothing
select relname, count(*) from pg_class
""".strip().splitlines()


def psql(port, command, *flags):
    url = f"postgres://postgres@127.0.0.1:{port}/postgres"
    done = subprocess.run(["psql", "-X", *flags, url, "-c", command], capture_output=True, text=True)
    # Where an error is in its statement is not always known here; what it is always is.
    errors = [line for line in done.stderr.splitlines() if not line.startswith("LINE ") and line.strip() != "^"]
    return done.stdout, errors


def exact(port, command):
    out, errors = psql(port, command)
    return out.splitlines() + errors


def masked(port, command):
    """Records of fields, so that a column can be masked whatever its width and however many lines its values have."""
    out, errors = psql(port, command, "-A", "-F", "\x1f", "-R", "\x1e")
    lines, header = [], []
    for record in out.rstrip("\n").split("\x1e"):
        fields = record.split("\x1f")
        if MASKED_COLUMNS & set(fields) or len(fields) != len(header):
            header = fields
        elif fields[0] in ("template0", "template1"):
            continue
        else:
            fields = ["*" if name in MASKED_COLUMNS else value for name, value in zip(header, fields)]
        line = " | ".join(fields).replace(f'"{port}"', '"PORT"')
        if lines and lines[-1].startswith("View definition:"):
            continue
        if line.startswith("(") and command.startswith(r"\l"):
            line = "(* rows)"
        lines.append(line)
    return lines + errors


def main(port):
    differences = 0
    with postgres15.running() as theirs:
        for at in (port, theirs):
            _, errors = psql(at, OBJECTS, "-q", "-v", "ON_ERROR_STOP=1")
            if errors:
                raise SystemExit("the objects to show cannot be made:\n" + "\n".join(errors))
        for how, commands in ((exact, EXACT), (masked, MASKED), (exact, QUERIES)):
            for command in commands:
                expected, found = how(theirs, command), how(port, command)
                if expected != found:
                    differences += 1
                    print(f"--- {command}")
                    print("\n".join(difflib.unified_diff(expected, found, "PostgreSQL 15", "Colonnade", lineterm="", n=1)))
    total = len(EXACT) + len(MASKED) + len(QUERIES)
    print(f"{total - differences} of {total} commands print the same")
    return differences == 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(0 if main(int(sys.argv[1])) else 1)

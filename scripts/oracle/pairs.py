"""Statements that compare, join, group and unite values of two types, made from a seed (see both.py): over the tables of queries.py."""

import random

# Expressions by kind: over table `a` as p, over table `b` as q, constants.
LEFT = {
    "int": ["p.x", "p.id", "p.id::smallint", "nullif(p.id, 3)"],
    "bigint": ["p.x::bigint", "(p.id::bigint * 1)"],
    "numeric": ["p.n", "p.x::numeric(5,1)", "(p.n + 0.25)"],
    "float": ["p.f", "p.x::float8", "p.n::float8"],
    "text": ["p.t", "(p.t || '')", "p.c::text", "coalesce(p.t, 'two')"],
    "char": ["p.c", "p.c::char(6)", "coalesce(p.c, 'ab')", "CASE WHEN p.id < 3 THEN p.c ELSE 'b' END", "p.t::char(3)"],
    "date": ["p.d", "p.ts::date", "(p.d + 1)"],
    "timestamp": ["p.ts", "p.d::timestamp"],
    "interval": ["p.iv", "(p.iv * 2)", "coalesce(p.iv, '720 hours')"],
    "bool": ["p.b", "(p.x > 1)"],
}
RIGHT = {
    "int": ["q.x", "q.y", "q.id"],
    "bigint": ["q.x::bigint", "(q.y::bigint - 1)"],
    "numeric": ["q.m", "q.x::numeric", "(q.m * 2)"],
    "float": ["q.g", "q.g::float8", "q.m::float8", "q.x::float4"],
    "text": ["q.t", "q.v", "(q.v || ' ')", "upper(q.t)"],
    "char": ["q.v::char(5)", "q.t::char(2)", "q.v::char(8)"],
    "date": ["q.d", "(q.d - 1)"],
    "timestamp": ["q.d::timestamp", "(q.d::timestamp + q.iv)"],
    "interval": ["q.iv", "(q.iv + '1 day')", "(q.iv - interval '24 hours')"],
    "bool": ["(q.x = 1)", "(q.y > 5)"],
}
CONSTANTS = {
    "int": ["1", "3", "NULL::int", "7"],
    "bigint": ["1::bigint", "3000000000"],
    "numeric": ["1.0", "10.50", "7.770", "-1.000"],
    "float": ["1.5::float8", "'NaN'::float8", "1e20", "1.5::real"],
    "text": ["'one'::text", "'b '::text", "'two'", "'ab'::varchar(4)", "'ab '::varchar(4)", "NULL::text"],
    "char": ["'ab'::char(2)", "'ab'::char(7)", "'ab '", "'one'::char(3)"],
    "date": ["date '2020-01-31'", "'2021-02-28'::date", "'infinity'::date"],
    "timestamp": ["timestamp '2020-01-31'", "timestamp '1999-12-31 00:00'"],
    "interval": ["interval '30 days'", "interval '1 month'", "'24 hours'::interval", "interval '1 day'"],
    "bool": ["true", "NULL::boolean"],
}
FAMILIES = [["int", "bigint", "numeric", "float"], ["text", "char"], ["date", "timestamp"], ["interval"], ["bool"]]
COMPARE = ["=", "<>", "<", "<=", ">", ">="]


def statement(r):
    family = r.choice(FAMILIES)
    k, m = r.choice(family), r.choice(family)
    left, right, other = r.choice(LEFT[k]), r.choice(RIGHT[m]), r.choice(RIGHT[r.choice(family)])
    constant = lambda: r.choice(CONSTANTS[r.choice(family)])
    op, sub = r.choice(COMPARE), f"SELECT {right} FROM b q"
    narrow = r.choice(["", f" WHERE {right} IS NOT NULL", " WHERE q.x = p.x", " WHERE q.id > p.id", " WHERE q.id < 3", " WHERE q.id > 99"])
    here = narrow if "p." not in narrow else ""
    negate = r.choice(["", "NOT "])
    predicate = r.choice([
        f"{left} {op} {constant()}", f"{constant()} {op} {left}", f"{left} {negate}IN ({constant()}, {constant()})", f"{left} IN ({constant()})",
        f"{left} {negate}IN ({sub}{narrow})", f"NOT ({left} IN ({sub}{narrow}))", f"{constant()} {negate}IN ({sub}{narrow})",
        f"{left} {op} ANY ({sub}{narrow})", f"{left} {op} ALL ({sub}{narrow})", f"{constant()} {op} ALL ({sub}{narrow})",
        f"{negate}EXISTS (SELECT 1 FROM b q WHERE {right} {op} {left})", f"{negate}EXISTS (SELECT 1 FROM a r JOIN b q ON r.id = q.id WHERE {right} {op} {left})",
        f"{left} {op} (SELECT max({right}) FROM b q{narrow})" if k != "bool" and m != "bool" else f"{left} IS NOT TRUE",
        f"{left} BETWEEN {constant()} AND {constant()}", f"{left} IS {negate}DISTINCT FROM {constant()}",
        f"({left}, p.id) {negate}IN (SELECT {right}, q.id FROM b q{narrow})", f"nullif({left}, {constant()}) IS NULL",
        f"CASE {left} WHEN {constant()} THEN true WHEN {constant()} THEN false END",
    ])
    inner = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
    set_operation = r.choice(["UNION", "UNION ALL", "EXCEPT", "INTERSECT"])
    united = f"SELECT {left} AS v FROM a p {set_operation} {sub}{here}"
    return r.choice([
        lambda: f"SELECT p.id FROM a p WHERE {predicate}",
        lambda: f"SELECT p.id FROM a p WHERE {predicate}",
        lambda: f"SELECT p.id, {predicate} FROM a p",
        lambda: f"SELECT p.id FROM a p WHERE {predicate} OR p.id = 2",
        lambda: f"SELECT p.id FROM a p WHERE NOT ({predicate}) AND p.id < 6",
        lambda: f"SELECT p.x, count(*) FROM a p WHERE {predicate} GROUP BY p.x",
        lambda: f"SELECT p.id, q.id FROM a p {inner} b q ON {left} = {right}",
        lambda: f"SELECT p.id, q.id FROM a p LEFT JOIN b q ON p.x = q.x AND {left} {op} {right}",
        lambda: f"SELECT p.id, q.id FROM a p LEFT JOIN b q ON p.x = q.x AND {predicate.replace('q.', 's.').replace('b q', 'b s')}",
        lambda: f"SELECT count(*) FROM a p, b q WHERE {left} {op} {right}",
        lambda: f"SELECT count(*) FROM ({united}) s",
        lambda: f"SELECT count(*) FROM ({united}) s WHERE v {op} {constant()}",
        lambda: f"SELECT count(*), count(DISTINCT v) FROM ({united}) s",
        lambda: f"SELECT count(*) FROM (SELECT v FROM ({united}) s GROUP BY v) t",
        lambda: f"SELECT count(*) FROM ({united}) s JOIN b q ON s.v = {other}",
        lambda: f"SELECT count(*) FROM ({united}) s WHERE v {negate}IN (SELECT {other} FROM b q{here})",
        lambda: f"SELECT count(*) FROM (SELECT DISTINCT coalesce({left}, {constant()}) AS v FROM a p) s",
        lambda: f"SELECT count(DISTINCT coalesce({left}, {constant()})), count(DISTINCT {left}) FROM a p",
        lambda: f"SELECT p.id FROM a p ORDER BY {left}, p.id",
        lambda: f"SELECT p.id, rank() OVER (ORDER BY {left}), count(*) OVER (PARTITION BY {left}) FROM a p",
        lambda: f"SELECT count(*), min(v)::text IS NULL FROM (SELECT {left} AS v FROM a p GROUP BY {left}) s" if k != "bool" else f"SELECT {left}, count(*) FROM a p GROUP BY 1",
    ])()


def generate(count, seed):
    r = random.Random(seed)
    return [statement(r) for _ in range(count)]

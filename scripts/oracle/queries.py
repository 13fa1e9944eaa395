"""Tables with the values that queries go wrong on, and queries over them made from a seed (see both.py)."""

import random

TABLES = [
    "CREATE TABLE a (id int PRIMARY KEY, x int, n numeric(10,2), t text, f float8, d date, ts timestamp, iv interval, c char(4), b boolean)",
    """INSERT INTO a VALUES
        (1, 1, 10.50, 'one', 1.5, '2020-01-31', '2020-01-31 10:00', '1 month', 'ab', true),
        (2, 1, -3.25, 'two', -0.5, '2021-02-28', '2021-02-28 23:59:59', '30 days', 'abcd', false),
        (3, 2, NULL, NULL, 'NaN', 'infinity', 'infinity', '720 hours', 'x', NULL),
        (4, NULL, 0.00, '', 'Infinity', '-infinity', '-infinity', '-1 day', '', true),
        (5, 3, 99999999.99, 'One', '-Infinity', NULL, NULL, NULL, NULL, false),
        (6, 3, 10.50, 'three%', 1e20, '1999-12-31', '1999-12-31 00:00', '1 year 2 mons', 'ab', true),
        (7, 5, 7.77, 'b', 0, '2020-02-29', '2020-02-29 12:30:15.5', '14 mons', 'ab', NULL)""",
    "CREATE TABLE b (id int PRIMARY KEY, x int, y int, m numeric(8,3), t text, g float4, d date, v varchar(6), iv interval)",
    """INSERT INTO b VALUES
        (1, 1, 10, 1.125, 'one', 1.5, '2020-01-31', 'one', '30 days'),
        (2, 1, 20, 2.500, 'two', 2.5, '2020-02-01', 'two', '1 month'),
        (3, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (4, 3, 5, -1.000, 'One', -1, '1999-12-31', 'One', '14 mons'),
        (5, NULL, 7, 3.000, 'four', 0, '2021-02-28', 'four', '1 day'),
        (6, 7, -2, 10.500, 'b ', 3.25, '2022-06-15', 'b', '24 hours'),
        (7, 3, 10, 0.001, 'two', 1, '2020-01-31', 'two', '-1 day')""",
    "CREATE TABLE e (id int, x int, t text)",
]

# Columns of each table by kind.
COLUMNS = {
    "a": {"int": ["id", "x"], "num": ["n"], "text": ["t"], "float": ["f"], "date": ["d"], "ts": ["ts"], "iv": ["iv"], "bool": ["b"], "char": ["c"]},
    "b": {"int": ["id", "x", "y"], "num": ["m"], "text": ["t", "v"], "float": ["g"], "date": ["d"], "iv": ["iv"]},
    "e": {"int": ["id", "x"], "text": ["t"]},
}
LITERALS = {
    "int": ["0", "1", "2", "3", "-1", "10", "NULL"],
    "num": ["1.5", "0.005", "-3.25", "10.50", "100"],
    "text": ["'one'", "'two'", "''", "'b'", "'%o%'", "NULL::text"],
    "float": ["1.5::float8", "0::float8", "'NaN'::float8", "1e20::float8"],
    "date": ["date '2020-01-31'", "date '2021-02-28'", "date 'infinity'"],
    "ts": ["timestamp '2020-01-31 10:00'", "timestamp '1999-12-31 00:00'"],
    "iv": ["interval '1 month'", "interval '1 day'", "interval '-3 hours'"],
    "bool": ["true", "false", "NULL::boolean"],
    "char": ["'ab'::char(4)", "'x'::char(2)"],
}
KINDS = ["int", "int", "int", "num", "text", "float", "date", "bool"]
COMPARE = ["=", "<>", "<", "<=", ">", ">="]


class Maker:
    """One query. `scope`: (alias, table) of what is in FROM."""

    def __init__(self, source):
        self.r, self.aliases = source, 0

    def pick(self, *choices):
        return self.r.choice(choices)()

    def column(self, kind, scope):
        found = [f"{alias}.{column}" for alias, table in scope for column in COLUMNS[table].get(kind, [])]
        return self.r.choice(found) if found else self.r.choice(LITERALS[kind])

    def expr(self, kind, scope, depth=2):
        r = self.r
        e = lambda k: self.expr(k, scope, depth - 1)
        if depth <= 0 or r.random() < 0.35:
            return self.column(kind, scope) if r.random() < 0.8 else r.choice(LITERALS[kind])
        general = [
            lambda: f"CASE WHEN {e('bool')} THEN {e(kind)} ELSE {e(kind)} END",
            lambda: f"CASE WHEN {e('bool')} THEN {e(kind)} END",
            lambda: f"coalesce({e(kind)}, {e(kind)})",
            lambda: f"nullif({e(kind)}, {e(kind)})",
            lambda: f"greatest({e(kind)}, {e(kind)})",
            lambda: f"least({e(kind)}, {e(kind)})",
        ]
        own = {
            "int": [
                lambda: f"({e('int')} {r.choice('+-*')} {e('int')})", lambda: f"({e('int')} / nullif({e('int')}, 0))",
                lambda: f"({e('int')} % 3)", lambda: f"length({e('text')})", lambda: f"abs({e('int')})", lambda: f"(-{e('int')})",
                lambda: f"extract(year from {e('date')})::int" if r.random() < .2 else f"position('o' in {e('text')})",
                lambda: f"round({e('num')})::int % 1000", lambda: f"sign({e('int')})::int", lambda: f"ascii({e('text')})",
                lambda: f"({e('date')} - date '2020-01-01') % 100" if r.random() < .2 else f"strpos({e('text')}, 'o')",
            ],
            "num": [
                lambda: f"({e('num')} {r.choice('+-*')} {e('num')})", lambda: f"({e('num')} {r.choice('+-*')} {e('int')})",
                lambda: f"({e('num')} / 4)", lambda: f"round({e('num')}, 1)", lambda: f"abs({e('num')})", lambda: f"trunc({e('num')})",
                lambda: f"({e('num')} * '1.555')", lambda: f"floor({e('num')})", lambda: f"ceil({e('num')})", lambda: f"{e('int')}::numeric(12,3)",
                lambda: f"mod({e('num')}, 7)", lambda: f"(-{e('num')})",
            ],
            "text": [
                lambda: f"({e('text')} || {e('text')})", lambda: f"upper({e('text')})", lambda: f"lower({e('text')})",
                lambda: f"substring({e('text')} from 2 for 2)", lambda: f"{e('int')}::text", lambda: f"left({e('text')}, 2)",
                lambda: f"replace({e('text')}, 'o', '0')", lambda: f"lpad({e('text')}, 5, '*')", lambda: f"trim({e('text')})",
                lambda: f"{e('bool')}::text", lambda: f"initcap({e('text')})", lambda: f"concat({e('text')}, {e('int')})",
                lambda: f"to_char({e('date')}, 'YYYY-MM-DD')", lambda: f"({e('int')} || '-' || {e('text')})", lambda: f"reverse({e('text')})",
                lambda: f"{e('char')}::text", lambda: f"split_part({e('text')}, 'o', 1)", lambda: f"repeat({e('text')}, 2)",
            ],
            "float": [
                lambda: f"({e('float')} {r.choice('+-*')} {e('float')})", lambda: f"{e('int')}::float8", lambda: f"abs({e('float')})",
                lambda: f"({e('float')} + {e('int')})", lambda: f"(-{e('float')})",
            ],
            "date": [lambda: f"({e('date')} + {r.randint(0, 40)})", lambda: f"({e('date')} - {r.randint(0, 40)})", lambda: f"{e('ts')}::date"],
            "ts": [lambda: f"({e('ts')} + {e('iv')})", lambda: f"date_trunc('month', {e('ts')})", lambda: f"{e('date')}::timestamp"],
            "iv": [lambda: f"({e('iv')} + {e('iv')})", lambda: f"({e('iv')} * 2)", lambda: f"(-{e('iv')})"],
            "char": [],
            "bool": [
                lambda: self.predicate(scope, depth - 1), lambda: self.predicate(scope, depth - 1), lambda: f"({e('bool')} AND {e('bool')})",
                lambda: f"({e('bool')} OR {e('bool')})", lambda: f"(NOT {e('bool')})", lambda: self.predicate(scope, depth - 1),
            ],
        }[kind]
        return self.r.choice(own * 2 + general)()

    def predicate(self, scope, depth=1):
        r = self.r
        kind = r.choice(["int", "int", "num", "text", "float", "date", "iv", "char", "ts"])
        e = lambda k: self.expr(k, scope, depth - 1)
        choices = [
            lambda: f"{e(kind)} {r.choice(COMPARE)} {e(kind)}", lambda: f"{e(kind)} IS NULL", lambda: f"{e(kind)} IS NOT NULL",
            lambda: f"{e(kind)} IS DISTINCT FROM {e(kind)}", lambda: f"{e(kind)} BETWEEN {e(kind)} AND {e(kind)}",
            lambda: f"{e(kind)} IN ({e(kind)}, {e(kind)})", lambda: f"{e(kind)} NOT IN ({e(kind)}, {e(kind)})",
            lambda: f"{e('text')} LIKE {r.choice(LITERALS['text'])}", lambda: f"{e('bool')} IS NOT TRUE",
            lambda: f"{e('int')} = ANY (ARRAY[1, 2, NULL])", lambda: f"{e('num')} {r.choice(COMPARE)} {e('int')}",
        ]
        return f"({r.choice(choices)()})"

    def alias(self):
        self.aliases += 1
        return f"q{self.aliases}"

    def subquery_predicate(self, scope):
        r, table = self.r, self.r.choice("abbe")
        inner, alias = table, self.alias()
        own = [(alias, inner)]
        where = [f"{self.column('int', own)} {r.choice(['=', '=', '=', '<', '>'])} {self.column('int', scope)}"] if r.random() < .7 else []
        where += [self.predicate(own)] if r.random() < .4 else []
        where = f" WHERE {' AND '.join(where)}" if where else ""
        column = self.column("int", own)
        rows = f"FROM {inner} {alias}{where}"
        choices = [
            lambda: f"EXISTS (SELECT 1 {rows})", lambda: f"NOT EXISTS (SELECT {column} {rows})", lambda: f"EXISTS (SELECT count(*) {rows})",
            lambda: f"{self.column('int', scope)} IN (SELECT {column} {rows})", lambda: f"{self.column('int', scope)} NOT IN (SELECT {column} {rows})",
            lambda: f"{self.column('int', scope)} IN (SELECT max({column}) {rows})", lambda: f"{self.column('int', scope)} {r.choice(COMPARE)} (SELECT {r.choice(['min', 'max', 'count', 'sum'])}({column}) {rows})",
            lambda: f"{self.column('int', scope)} {r.choice(COMPARE)} {r.choice(['ANY', 'ALL'])} (SELECT {column} {rows})",
            lambda: f"{self.column('int', scope)} > (SELECT {column} {rows} ORDER BY {column} DESC, {alias}.id LIMIT 1)",
            lambda: f"EXISTS (SELECT {column} {rows} GROUP BY {column} HAVING count(*) > 1)",
        ]
        return f"({r.choice(choices)()})"

    def condition(self, scope):
        r = self.r
        part = lambda: self.subquery_predicate(scope) if r.random() < .35 else self.predicate(scope, 2)
        text = part()
        for _ in range(r.randint(0, 2)):
            text += f" {r.choice(['AND', 'AND', 'OR', 'AND NOT'])} {part()}"
        return text

    def source(self):
        r = self.r
        scope = [(self.alias(), r.choice("aab"))]
        text = f"{scope[0][1]} {scope[0][0]}"
        for _ in range(r.choice([0, 0, 1, 1, 2])):
            new = (self.alias(), r.choice("abbe"))
            how = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "JOIN"])
            on = f" ON {self.column('int', scope)} = {self.column('int', [new])}" if how != "CROSS JOIN" else ""
            if on and how != "FULL JOIN" and r.random() < .3:
                on += f" AND {self.predicate(scope + [new], 1)}"
            text += f" {how} {new[1]} {new[0]}{on}"
            scope.append(new)
        return text, scope

    def aggregate(self, scope):
        r = self.r
        kind = r.choice(["int", "num", "float", "text", "date", "ts", "iv"])
        arg = self.expr(kind, scope, 1)
        names = {"int": ["sum", "avg", "min", "max", "count"], "num": ["sum", "avg", "min", "max", "count"], "float": ["min", "max", "count"],
                 "text": ["min", "max", "count"], "date": ["min", "max", "count"], "ts": ["min", "max"], "iv": ["min", "max", "count"]}[kind]
        name = r.choice(names)
        distinct = "DISTINCT " if r.random() < .2 else ""
        filtered = f" FILTER (WHERE {self.predicate(scope)})" if r.random() < .2 else ""
        return f"{name}({distinct}{arg}){filtered}" if r.random() < .9 else f"count(*){filtered}"

    def plain(self):
        r = self.r
        rows, scope = self.source()
        kinds = [r.choice(KINDS + ["iv", "ts", "char"]) for _ in range(r.randint(1, 3))]
        items = [self.expr(kind, scope) for kind in kinds]
        if r.random() < .25:
            alias = self.alias()
            items.append(f"(SELECT {r.choice(['max', 'min', 'count', 'sum'])}({alias}.y) FROM b {alias} WHERE {alias}.x {r.choice(['=', '=', '<'])} {self.column('int', scope)})")
        if r.random() < .1:
            items.append(self.subquery_predicate(scope))
        where = f" WHERE {self.condition(scope)}" if r.random() < .7 else ""
        distinct = "DISTINCT " if r.random() < .15 else ""
        return f"SELECT {distinct}{', '.join(items)} FROM {rows}{where}"

    def grouped(self):
        r = self.r
        rows, scope = self.source()
        keys = [self.expr(r.choice(["int", "text", "bool", "num", "date", "iv"]), scope, 1) for _ in range(r.randint(0, 2))]
        # A constant is a position.
        keys = [key for key in keys if "." in key and "q" in key]
        items = [f"({key})" for key in keys if r.random() < .8] + [self.aggregate(scope) for _ in range(r.randint(1, 3))]
        where = f" WHERE {self.condition(scope)}" if r.random() < .4 else ""
        having = f" HAVING {self.aggregate(scope)} IS NOT NULL" if r.random() < .2 else ""
        group = ""
        if keys:
            how = r.choice(["{}", "{}", "{}", "ROLLUP ({})", "CUBE ({})"])
            group = " GROUP BY " + how.format(", ".join(f"({key})" for key in keys))
        return f"SELECT {', '.join(items)} FROM {rows}{where}{group}{having}"

    def window(self):
        r = self.r
        rows, scope = self.source()
        keys = [f"{alias}.id" for alias, _ in scope]
        kind = r.choice(["int", "num", "float", "iv", "date"])
        call = r.choice([
            "row_number()", "rank()", "dense_rank()", f"sum({self.column(r.choice(['int', 'num', 'float']), scope)})", f"avg({self.column('int', scope)})",
            "count(*)", f"min({self.column(kind, scope)})", f"max({self.column(kind, scope)})", f"lag({self.column(kind, scope)})",
            f"lead({self.column(kind, scope)}, 2)", f"first_value({self.column(kind, scope)})", f"last_value({self.column(kind, scope)})", "ntile(3)",
        ])
        part = f"PARTITION BY {self.column(r.choice(['int', 'text', 'iv']), scope)} " if r.random() < .5 else ""
        first = f"{self.column(r.choice(['int', 'num', 'text', 'float', 'iv', 'date']), scope)}{r.choice(['', ' DESC', ' NULLS FIRST'])}"
        frame = r.choice(["", "", " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", " ROWS 2 PRECEDING"])
        order = f"ORDER BY {first}, {', '.join(keys)}"
        return f"SELECT {', '.join(keys)}, {call} OVER ({part}{order}{frame}) FROM {rows}"

    def set_operation(self):
        r = self.r
        kinds = [r.choice(["int", "text", "num", "char", "iv", "float", "date"]) for _ in range(r.randint(1, 2))]

        def side():
            rows, scope = self.source()
            where = f" WHERE {self.predicate(scope)}" if r.random() < .5 else ""
            return f"SELECT {', '.join(self.expr(kind, scope, 1) for kind in kinds)} FROM {rows}{where}"

        return f"{side()} {r.choice(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'])} {side()}"

    def ordered(self):
        r = self.r
        table = r.choice("ab")
        kind = r.choice(["int", "num", "text", "float", "date", "iv", "char", "ts"])
        own = [("q", table)]
        key = self.expr(kind, own, 1)
        key = key if "q." in key else "q.id"
        limit = f" LIMIT {r.randint(1, 4)} OFFSET {r.randint(0, 2)}" if r.random() < .5 else ""
        on = f"DISTINCT ON ({key}) " if r.random() < .2 else ""
        return f"SELECT {on}q.id, {self.expr(r.choice(KINDS), own)} FROM {table} q ORDER BY {key}{r.choice(['', ' DESC', ' NULLS FIRST'])}, q.id{limit}"

    def with_query(self):
        inner = self.plain() if self.r.random() < .5 else self.grouped()
        return f"SELECT count(*) FROM ({inner}) AS s" if self.r.random() < .5 else f"WITH w AS ({inner}) SELECT * FROM w UNION ALL SELECT * FROM w"

    def query(self):
        return self.r.choice([self.plain, self.plain, self.plain, self.grouped, self.grouped, self.window, self.set_operation, self.ordered, self.with_query])()


def generate(count, seed):
    source = random.Random(seed)
    return [Maker(source).query() for _ in range(count)]

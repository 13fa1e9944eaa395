"""kill -9 at random moments under 8 clients (groups of rows in three tables, COPY, a bank, lists, DDL, sequences) while rows are merged and
checkpoints made: what was acknowledged is there, nothing is there by half. PostgreSQL 15 through the same harness in full.
"""

import random

from ledger import Ledger
from row import SCRATCH, SEED, TIER, Row
from server import Colonnade, Postgres15


def cycle(server, ledger, seconds, check):
    ledger.run(server.port, seconds, server.kill)
    complaint = server.check() if check else None
    server.start()
    return complaint or ledger.verify(server.port)


def cycles(row, server, quick, full):
    """Kills of a server on a new database, until there are so many."""
    chance = random.Random(SEED * 1000 + row.done)
    ledger = Ledger(SEED + row.done)
    server.start()
    try:
        ledger.setup(server.port)
        for at in row.tries(quick, full):
            before = dict(ledger.operations)
            try:
                wrong = cycle(server, ledger, chance.uniform(0.02, 0.6 if TIER == "quick" else 2), at % 10 == 9)
            except RuntimeError as error:
                row.tried(str(error))
                return
            row.tried(wrong, **{name: count - before.get(name, 0) for name, count in ledger.operations.items()})
    finally:
        server.kill()


row = Row()
cycles(row, Colonnade(SCRATCH), 15, 1000)
statements = sum(row.sums[kind] for kind in ("group", "change", "bank", "list", "number", "table"))
figure = f"{row.sums['rows'] + statements:,} operations, {statements:,} transactions acknowledged; {row.counted('in flight kept', 'in flight vanished')}"
if TIER == "full" and not row.is_partial:
    peer = Row(SCRATCH / "peer.state")
    cycles(peer, Postgres15(SCRATCH), 0, 100)
    figure += f"; PostgreSQL 15: {peer.done} kills, {peer.failures} failures, {peer.sums['rows']:,} rows"
row.result(figure)

#!/usr/bin/env python3
"""PostgreSQL 15's own isolation tests, run on Colonnade and on PostgreSQL 15, and what the two answer differently.

    scripts/python scripts/oracle/isolation_specs.py [OPTION...] COLONNADE [SPEC...]

COLONNADE is the binary, or the URL of a server (of another PostgreSQL, to test this program). The specs are those of PostgreSQL's source (postgres15_source.py), or of a folder
(--specs). The judge is the live PostgreSQL, not the files it is delivered with. Of each spec up to --most permutations are run, drawn by
--seed; one whose answers differ is run again, as what waits for a time may take longer. Specs are run --jobs at a time, each in a database
of its own.

A permutation is skipped where the first difference is that Colonnade refuses something (SQLSTATEs 0A000, 42601, 42883); what came before
is compared. If it refuses something of the setup, both do without what is beside the point (EASIER) if that helps; else Colonnade goes
without the table or function, and what misses it is skipped. isolation_specs.tsv lists differences that stay: spec, permutation (its
steps), * for all or - for a spec that is not run, reason. Exits with 1 if anything else differs.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import difflib
import math
import os
import pathlib
import re
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import both
import postgres15
import postgres15_source
from isolation_grammar import Spec
from isolation_run import MISSING, REFUSED, Refused, Stage

KNOWN = pathlib.Path(__file__).resolve().with_suffix(".tsv")
# Settings a test asks for: its README says that prepared transactions must be possible.
POSTGRES = ("max_prepared_transactions=10", "max_connections=200", "autovacuum=off")
# How often a permutation is run until its answers are the same, and for how many of a spec that is tried.
ATTEMPTS, RETRIED = 3, 5
# What no spec is about, and what to write instead.
EASIER = (
    (r"(?i)\s*\bINCLUDE\s*\([^)]*\)", ""),
    (r"(?i),\s*\w+ \w+ GENERATED ALWAYS AS \([^)]*\) STORED", ""),
    (r"(?i)ALTER TABLE \w+ SET \([^)]*\);|ALTER TABLE \w+ ALTER (COLUMN )?\w+ SET STORAGE \w+;", ""),
    (r"(?i)CREATE TABLE (\w+) \(\);", r"CREATE TABLE \1 (i int);"),
    (r"(?i)SELECT generate_series\(([^)]*)\) % 4", r"SELECT x % 4 FROM generate_series(\1) AS x"),
)


@dataclasses.dataclass
class Report:
    spec: str
    total: int
    chosen: int
    equal: int = 0
    differing: list = dataclasses.field(default_factory=list)
    known: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    skipped: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    left_out: list = dataclasses.field(default_factory=list)
    easier: bool = False
    seconds: float = 0.0


def compare(ours, theirs, without):
    """None if equal, a reason to skip as a string, else a diff as a list."""
    if theirs and theirs[-1].label.startswith("setup"):
        return f"PostgreSQL's {theirs[-1].label}: {theirs[-1].lines[-1]}"
    for a, b in zip(ours, theirs):
        if (a.label, a.lines) == (b.label, b.lines):
            continue
        refusing = REFUSED | (MISSING if without else set())
        if a.states and a.states[-1] in refusing and a.states[-1] not in b.states and a.lines[:-1] == b.lines[:len(a.lines) - 1]:
            return f"{a.label} {a.lines[-1]}"
        break
    if [(a.label, a.lines) for a in ours] == [(b.label, b.lines) for b in theirs]:
        return None
    return list(difflib.unified_diff(text(theirs), text(ours), "postgres", "colonnade", lineterm="", n=100))


def text(events):
    return [line for event in events for line in (event.label, *("    " + line for line in event.lines))]


def easier(spec, url):
    """The spec, or a form of it of which the server's setup leaves out less."""
    other = spec.text
    for found, instead in EASIER:
        other = re.sub(found, instead, other)
    if other == spec.text:
        return spec
    other = Spec(spec.name, other)
    return min((spec, other), key=lambda form: left_out(form, url))


def left_out(spec, url):
    stage = Stage(url, spec)
    try:
        stage.run([])
        return len(stage.left_out)
    except Refused:
        return math.inf
    finally:
        stage.close()


def check(spec, ours_url, theirs_url, known, options):
    began, (total, chosen) = time.monotonic(), spec.permutations(options.most, options.seed)
    report = Report(spec.name, total, len(chosen))
    try:
        if reason := known.get((spec.name, "-")):
            report.known[reason] += len(chosen)
            return report
        form = easier(spec, ours_url)
        report.easier, (_, chosen) = form is not spec, form.permutations(options.most, options.seed)
        with contextlib.closing(Stage(ours_url, form)) as ours, contextlib.closing(Stage(theirs_url, form)) as theirs:
            for number, turns in chosen:
                judge(report, number, turns, ours, theirs, known)
    except Refused as refused:
        report.skipped[str(refused)] += len(chosen)
    except Exception:
        report.differing.append((0, "the run itself", ["", "", *traceback.format_exc().splitlines()]))
    report.seconds = time.monotonic() - began
    print(f"{spec.name}: {report.equal} equal, {len(report.differing)} differ", file=sys.stderr, flush=True)
    return report


def judge(report, number, turns, ours, theirs, known):
    steps = " ".join(turn.step.name for turn in turns)
    for _ in range(ATTEMPTS):
        answers = ours.run(turns)
        found = compare(answers, theirs.run(turns), ours.left_out)
        if not isinstance(found, list) or len(report.differing) >= RETRIED:
            break
    report.left_out = report.left_out or ours.left_out
    if found is None:
        report.equal += 1
    elif isinstance(found, str):
        report.skipped[found] += 1
    elif reason := known.get((report.spec, steps)) or known.get((report.spec, "*")):
        report.known[reason] += 1
    else:
        report.differing.append((number, steps, found))


def tell(reports, diffs):
    for report in reports:
        for number, steps, diff in report.differing[:diffs]:
            print(f"== {report.spec}, permutation {number}: {steps}", *diff[2:], "", sep="\n")
        if len(report.differing) > diffs:
            print(f"== {report.spec}: {len(report.differing) - diffs} more permutations differ\n")
    print(f"{'spec':<34}{'of':>6}{'run':>6}{'equal':>6}{'differ':>7}{'known':>6}{'skip':>6}{'s':>6}  most often skipped or known for")
    for report in reports:
        most = (report.skipped + report.known).most_common(1)
        reason = most[0][0][:140] if most else ""
        counts = (report.total, report.chosen, report.equal, len(report.differing), report.known.total(), report.skipped.total())
        widths = (6, 6, 6, 7, 6, 6)
        print(f"{report.spec + '*' * report.easier:<34}" + "".join(f"{n:>{w}}" for n, w in zip(counts, widths)) + f"{report.seconds:>6.0f}  {reason}")
        for statement in report.left_out:
            print(f"{'':<77}  without {statement[:140]}")
    differing = sum(len(report.differing) for report in reports)
    print("* in an easier form (EASIER)")
    print(f"{len(reports)} specs, {sum(r.chosen for r in reports)} permutations: {sum(r.equal for r in reports)} equal, {differing} differing, "
          f"{sum(r.known.total() for r in reports)} known to differ, {sum(r.skipped.total() for r in reports)} skipped")
    return differing


def known_differences():
    lines = [line.split("\t") for line in KNOWN.read_text().splitlines() if line and not line.startswith("#")]
    return {(spec, steps): reason for spec, steps, reason in lines}


@contextlib.contextmanager
def colonnade(named):
    if named.startswith("postgres"):
        yield named
        return
    with both.colonnade(os.path.abspath(named)) as port:
        yield f"postgres://postgres@127.0.0.1:{port}/postgres"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("colonnade")
    parser.add_argument("names", nargs="*", metavar="SPEC")
    parser.add_argument("--specs", type=pathlib.Path, help="a folder of .spec files")
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--diffs", type=int, default=3, help="differing permutations shown of a spec")
    options = parser.parse_args()
    folder = options.specs or postgres15_source.folder("src/test/isolation/specs")
    specs = [Spec(path.stem, path.read_text()) for path in sorted(folder.glob("*.spec")) if not options.names or path.stem in options.names]
    # The long ones first, so that no one is left to run alone.
    specs.sort(key=lambda spec: -spec.permutations(options.most, options.seed)[0])
    with postgres15.running(*POSTGRES) as port, colonnade(options.colonnade) as ours:
        theirs = f"postgres://postgres@127.0.0.1:{port}/postgres"
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            running = [pool.submit(check, spec, ours, theirs, known_differences(), options) for spec in specs]
            reports = sorted((future.result() for future in running), key=lambda report: report.spec)
    return 1 if tell(reports, options.diffs) else 0


if __name__ == "__main__":
    sys.exit(main())

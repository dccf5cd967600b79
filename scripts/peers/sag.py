#!/usr/bin/env python3
"""Job sets beside SAG: completion times and verdicts of both, differences counted and classed; exits with 1 if one of
them is not of a class that is known.

    git clone https://github.com/SAG-org/schedule_abstraction-main target/sag   # built as its README says: build/nptest
    cargo build --release -p aegisrt
    python3 scripts/peers/sag.py target/sag/build/nptest target/sag/examples [--sets 1000] [--large 10] [--seed 1]

Families, all on one processor: `examples` (SAG's own), `tiny` (2 to 5 jobs), `ties` (equal priorities), `precedence`,
`delays` (precedence with host delays), `periodic` (a hyperperiod of 3 to 12 tasks), `large` (15 to 24 tasks, up to
millions of states). Completion times are compared on sets without deadlines, because SAG, told to go on after a miss,
leaves out what follows it; verdicts on the sets as they are. Speed is states a second of CPU time of the whole process.

SAG merges states more eagerly and with delays it may take a job for later than it can be: its times may be wider, never
narrower. Our own exactness is checked by exhaustive search in `aegis-analysis/tests`.
"""

import argparse
import csv
import json
import math
import pathlib
import random
import resource
import subprocess
import sys
import tempfile

NO_DEADLINE = 10**9
COLUMNS = ["Task ID", "Job ID", "Arrival min", "Arrival max", "Cost min", "Cost max", "Deadline", "Priority"]
EDGES = ["Predecessor TID", "Predecessor JID", "Successor TID", "Successor JID", "Delay Min", "Delay Max"]
# The examples that are sets of jobs on one processor, with their precedence where they have one.
EXAMPLES = {
    "fig1a.csv": None,
    "fig1a.csv with fig1a.prec.csv": ("fig1a.csv", "fig1a.prec.csv"),
    "fig1c.csv": None,
    "fig1c-fp.csv": None,
    "cw-fig2.csv": None,
    "prm-fig1.csv": None,
    "prm-fig2.csv": None,
    "global-fig1.csv": None,
    "abort.jobs.csv": None,
    "susp_jobs.csv with susp_dag.csv": ("susp_jobs.csv", "susp_dag.csv"),
    "fig1c_suspjobs.csv with fig1c_suspdag.csv": ("fig1c_suspjobs.csv", "fig1c_suspdag.csv"),
    "global_susp_jobs.csv with global_susp_dag.csv": ("global_susp_jobs.csv", "global_susp_dag.csv"),
    "susp_jobs_pathwise.csv with susp_dag_pathwise.csv": ("susp_jobs_pathwise.csv", "susp_dag_pathwise.csv"),
}


def tiny(rng, delays=False, edges=False):
    """Up to five jobs whose windows overlap."""
    count = rng.randint(2, 5)
    jobs = []
    for task in range(1, count + 1):
        release, cost = rng.randint(0, 6), rng.randint(1, 4)
        jobs.append([task, 1, release, release + rng.randint(0, 2), cost, cost + rng.randint(0, 2),
                     rng.randint(6, 30), rng.randint(1, count)])
    found = []
    for later in range(1, count + 1) if edges else []:
        for earlier in range(1, later):
            if rng.random() < 0.4:
                least = rng.randint(0, 3) if delays else 0
                found.append([earlier, 1, later, 1, least, least + (rng.randint(0, 3) if delays else 0)])
    return jobs, found


def ties(rng):
    """Jobs of few tasks and two priorities."""
    jobs, _ = tiny(rng)
    for number, job in enumerate(jobs, 1):
        job[0], job[1], job[7] = (job[0] if rng.random() < 0.5 else 1), number, rng.randint(1, 2)
    return jobs, []


def periodic(rng, least, most, loads, jitters, spreads):
    """The jobs of one hyperperiod, priorities by deadline or by rate."""
    count = rng.randint(least, most)
    load, jitter, spread, edf = rng.choice(loads), rng.choice(jitters), rng.choice(spreads), rng.random() < 0.5
    periods = [rng.choice([10, 20, 25, 40, 50, 100]) * 1000 for _ in range(count)]
    cuts = sorted(rng.random() for _ in range(count - 1))
    shares = [b - a for a, b in zip([0, *cuts], [*cuts, 1])]
    ranks = {task: rank for rank, task in enumerate(sorted(range(count), key=lambda i: periods[i]), 1)}
    jobs = []
    for task, (period, share) in enumerate(zip(periods, shares)):
        cost = max(1, int(share * load * period))
        for k in range(math.lcm(*periods) // period):
            release = k * period
            jobs.append([task + 1, k + 1, release, release + int(period * jitter), max(1, int(cost * (1 - spread))),
                         cost, release + period, release + period if edf else ranks[task]])
    return jobs, []


FAMILIES = {
    "tiny": tiny,
    "ties": ties,
    "precedence": lambda rng: tiny(rng, edges=True),
    "delays": lambda rng: tiny(rng, edges=True, delays=True),
    "periodic": lambda rng: periodic(rng, 3, 12, [0.3, 0.5, 0.7, 0.9], [0, 0.01, 0.05, 0.2], [0, 0.2, 0.5]),
    "large": lambda rng: periodic(rng, 15, 24, [0.4, 0.5, 0.6, 0.7], [0.05, 0.1], [0.3, 0.5]),
}


def write(path, columns, rows):
    with path.open("w") as out:
        out.write(", ".join(columns) + "\n" + "".join(", ".join(map(str, row)) + "\n" for row in rows))


def read(path):
    with path.open() as text:
        return [[cell.strip() for cell in row] for row in csv.reader(text) if any(cell.strip() for cell in row)][1:]


def timed(command, folder):
    """What it prints, and the CPU time it took."""
    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return run, spent() - before


class Both:
    """The two programs, with a folder for their files."""

    def __init__(self, nptest, aegis, folder):
        self.nptest, self.aegis, self.folder = nptest, aegis, folder

    def sag(self, jobs, edges, times):
        """(meets, completion times by job, states, CPU seconds)"""
        options = ["-r"] if times else []
        run, spent = timed([self.nptest, *options, *(["-p", edges] if edges else []), jobs], self.folder)
        cells = [cell.strip() for cell in run.stdout.strip().split(",")]
        if len(cells) < 4 or cells[1] not in "01":
            raise ValueError(f"SAG: {run.stdout}{run.stderr}")
        table = jobs.with_name(jobs.stem + ".rta.csv")
        rows = read(table) if times else []
        table.unlink(missing_ok=True)
        return cells[1] == "1", {tuple(row[:2]): tuple(map(int, row[2:4])) for row in rows}, int(cells[3]), spent

    def ours(self, jobs, edges):
        out = self.folder / "ours.csv"
        options = ["--completions", out, "--format", "json", *(["--prec", edges] if edges else [])]
        run, spent = timed([self.aegis, "admit", "--jobs", jobs, *options], self.folder)
        if run.returncode == 2 and "argument" not in run.stderr:
            raise ValueError(run.stderr.splitlines()[0])
        if run.returncode not in (0, 3):
            sys.exit(f"{self.aegis}: {run.stderr}")
        answer = json.loads(run.stdout)
        times = {tuple(row[:2]): tuple(map(int, row[2:4])) for row in read(out)}
        return answer, times, spent


def compare(both, jobs, edges, known_delays):
    """Classes of the differences of one set."""
    plain, free = both.folder / "jobs.csv", both.folder / "free.csv"
    prec = both.folder / "prec.csv" if edges else None
    write(plain, COLUMNS, jobs)
    write(free, COLUMNS, [[*job[:6], NO_DEADLINE, job[7]] for job in jobs])
    if edges:
        write(prec, EDGES, edges)
    _, theirs, sag_states, sag_spent = both.sag(free, prec, times=True)
    answer, ours, our_spent = both.ours(free, prec)
    if not answer["exact"]:
        kind = "ours gave up"
    elif ours == theirs:
        kind = "equal"
    elif all(theirs[job][0] <= ours[job][0] and ours[job][1] <= theirs[job][1] for job in ours):
        kind = "SAG wider" if known_delays else "SAG WIDER"
    else:
        kind = "SAG NARROWER"
    meets, *_ = both.sag(plain, prec, times=False)
    admitted = both.ours(plain, prec)[0]["admitted"]
    verdict = "same" if meets == admitted else "only ours admits" if known_delays and admitted else "DIFFERENT"
    return kind, verdict, answer["exploration"]["states"], our_spent, sag_states, sag_spent


def example_sets(folder):
    for name, files in EXAMPLES.items():
        jobs, edges = files or (name, None)
        # Of the columns that more general sets have, those of one processor come first.
        rows = [[int(cell) for cell in row[:8]] for row in read(folder / jobs)]
        found = [[int(cell) for cell in (row + ["0", "0"])[:6]] for row in read(folder / edges)] if edges else []
        yield name, rows, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nptest", type=pathlib.Path)
    parser.add_argument("examples", type=pathlib.Path)
    parser.add_argument("--aegis", type=pathlib.Path, default=pathlib.Path("target/release/aegis"))
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--large", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    unknown = 0
    print(f"{'family':<11} {'sets':>5}  completion times; verdicts; states and CPU time: ours, SAG's")
    with tempfile.TemporaryDirectory() as folder:
        both = Both(arguments.nptest.resolve(), arguments.aegis.resolve(), pathlib.Path(folder))
        for family in ["examples", *FAMILIES]:
            if family == "examples":
                sets = list(example_sets(arguments.examples))
            else:
                count = {"large": arguments.large, "periodic": arguments.sets // 5}.get(family, arguments.sets)
                seeds = range(arguments.seed, arguments.seed + count)
                sets = [(str(seed), *FAMILIES[family](random.Random(f"{family} {seed}"))) for seed in seeds]
            kinds, verdicts, sums = {}, {}, [0, 0.0, 0, 0.0]
            for name, jobs, edges in sets:
                try:
                    kind, verdict, *figures = compare(both, jobs, edges, any(edge[5] for edge in edges))
                except ValueError as why:
                    kind, verdict, figures = "left out", "left out", [0, 0.0, 0, 0.0]
                    print(f"  {family} {name}: {str(why).strip()[:200]}", file=sys.stderr)
                if kind.isupper() or verdict.isupper() or kind == "SAG WIDER":
                    unknown += 1
                    print(f"  {family} {name}: {kind}, verdict {verdict}", file=sys.stderr)
                kinds[kind] = kinds.get(kind, 0) + 1
                verdicts[verdict] = verdicts.get(verdict, 0) + 1
                sums = [a + b for a, b in zip(sums, figures)]
            say = lambda counts: ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
            print(f"{family:<11} {len(sets):>5}  {say(kinds)}; {say(verdicts)}; "
                  f"{sums[0]} in {sums[1]:.2f} s, {sums[2]} in {sums[3]:.2f} s", flush=True)
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())

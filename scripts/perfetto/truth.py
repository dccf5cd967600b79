"""What a trace says, computed from its records alone: the other side of every comparison.

The records come from `aegis trace query --format json`. Nothing here shares code with the exports: histories of jobs are
put together once more, from the events, decisions and workers' records.
"""

import dataclasses
import json
import subprocess


@dataclasses.dataclass
class Segment:
    index: int
    chosen: int | None = None
    started: int | None = None
    ended: int | None = None
    told: int | None = None

    @property
    def begin(self):
        return self.started if self.started is not None else self.chosen

    def end(self, last):
        return next(t for t in (self.ended, self.told, last) if t is not None)


@dataclasses.dataclass
class Job:
    name: str
    model: str
    seq: int
    arrival: int
    released: int | None = None
    refused: int | None = None
    retired: int | None = None
    verdict: str = "unfinished"
    deadline: int = 0
    segments: dict = dataclasses.field(default_factory=dict)

    def segment(self, index):
        return self.segments.setdefault(index, Segment(index))


class Trace:
    """The records of one trace, and the jobs that they tell of. Traces with missing records are not for this twin."""

    def __init__(self, aegis, path):
        self.path = path
        self.records = asked(aegis, "trace", "query", path, "--limit", "1000000000")["records"]
        self.info = asked(aegis, "trace", "info", path)
        assert self.info["complete"] and self.info["missing"] == 0, self.info
        self.tasks = self.info["tasks"]
        self.last = max((record["at_ns"] for record in self.records), default=0)
        self.jobs = {}
        self.running = None
        for record in self.records:
            self.read(record)

    def name(self, job):
        return f"{self.tasks[job['task']]}#{job['seq']}"

    def job(self, job, arrival=None):
        name = self.name(job)
        if name not in self.jobs:
            self.jobs[name] = Job(name, self.tasks[job["task"]], job["seq"], arrival)
        return self.jobs[name]

    def read(self, record):
        at, (kind, body) = record["at_ns"], first(record["body"])
        if kind == "Started":
            self.job(body["job"]).segment(body["segment"]).started = at
        elif kind == "Ended":
            self.job(body["job"]).segment(body["segment"]).ended = at
        elif kind == "Step":
            self.step(at, body)

    def step(self, at, body):
        event, told = first(body["event"])
        action, done = first(body["decision"]["action"])
        why, reason = first(body["decision"]["why"])
        if event == "Release":
            job = self.job(told["job"], told["arrival"])
            if action == "Enqueue":
                job.released = at
            else:
                job.refused, job.verdict = at, "refused"
        elif event == "Finish" and action in ("Retire", "Requeue"):
            job = self.job(told["job"])
            job.segment(self.running).told = at
            if action == "Retire":
                job.retired = at
                job.verdict = {"DeadlineMet": "met", "DeadlineMissed": "missed", "Faulted": "faulted"}[why]
                if why == "DeadlineMissed":
                    job.deadline = at - reason["late"]
        if action == "Start":
            self.job(done["job"]).segment(done["segment"]).chosen = at
            self.running = done["segment"]

    def until(self, job):
        """The last that the trace says of a job."""
        return next(t for t in (job.retired, job.refused, self.last) if t is not None)

    def runs(self):
        """Segments that ran: job, segment, from, to."""
        for job in self.jobs.values():
            for segment in job.segments.values():
                yield job, segment, segment.begin, segment.end(self.until(job))

    def verdicts(self, model):
        counts = dict.fromkeys(["met", "missed", "faulted", "refused", "unfinished"], 0)
        for job in self.jobs.values():
            if job.model == model:
                counts[job.verdict] += 1
        return counts

    def memory(self):
        """(model, kind, source) and the values it takes, with their instants."""
        series = {}
        for record in self.records:
            at, (kind, body) = record["at_ns"], first(record["body"])
            if kind == "Loaded":
                for what in ("weights", "io", "scratch"):
                    if body[what] is not None:
                        key = (self.tasks[body["task"]], what, "measured")
                        series.setdefault(key, []).append((at, body[what]))
            elif kind == "Placed":
                key = (self.tasks[body["task"]], body["purpose"].lower(), "planned")
                before = series.get(key, [(0, 0)])[-1][1]
                series.setdefault(key, []).append((at, before + body["size"]))
        return series


def first(value):
    """Name and content of a variant: `"Idle"` or `{"Start": {…}}`."""
    return (value, {}) if isinstance(value, str) else next(iter(value.items()))


def asked(aegis, *arguments):
    answer = subprocess.run(
        [aegis, "--format", "json", *arguments], capture_output=True, check=True, text=True
    )
    return json.loads(answer.stdout)

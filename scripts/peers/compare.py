#!/usr/bin/env python3
"""Bounds of Python peers beside ours, differences explained one by one; exits with 1 if one is not.

    cargo run --release -p aegis-analysis --example bounds -- 3000 1 > target/bounds.jsonl
    python3 -m venv target/peers && target/peers/bin/pip install response-time-analysis==0.1.1 \
        git+https://github.com/IDA-TUBS/pycpa@824e794
    target/peers/bin/python scripts/peers/compare.py target/bounds.jsonl

Peers: pyRTA 0.1.1 (package response-time-analysis) for all three policies, pyCPA (static priorities, not preempted). A
peer that is not installed is left out, with a notice. SchedCAT needs Python 2 and is not among them.
"""

import collections
import json
import sys


def pyrta():
    """Response times by pyRTA; identical tasks are told apart, because it drops the twins of the analysed task."""
    from response_time_analysis import edf, fifo, fp, model

    def tasks(case, distinct):
        # In pyRTA the larger number is the more urgent.
        # A sporadic task is the same as a periodic one to the analysis, and not equal to it: so are jitters of 0.
        kinds = [model.Periodic, model.Sporadic, lambda period: model.PeriodicWithJitter(period, 0)]
        seen = collections.Counter()
        made = []
        for task in case["tasks"]:
            key = json.dumps(task)
            kind = kinds[min(seen[key], 2)] if distinct else kinds[0]
            seen[key] += 1
            cost = model.FullyNonPreemptive(model.WCET(task["C"]))
            priority = model.Priority(1000 - task["P"])
            made.append(model.Task(kind(task["T"]), cost, model.Deadline(task["D"]), priority))
        return model.taskset(made)

    def bounds(case, distinct):
        of = tasks(case, distinct)
        supply = model.IdealProcessor()
        if case["policy"] == "fifo":
            return [fifo.rta(of, supply).response_time_bound] * len(of)
        rta = {"np-fp": fp.rta, "np-edf": edf.rta}[case["policy"]]
        return [rta(of, task, supply).response_time_bound for task in of]

    def explain(case):
        ours, theirs = case["R"], bounds(case, distinct=False)
        if ours == theirs:
            return "equal"
        distinct = bounds(case, distinct=True)
        if ours == distinct and all(a >= b for a, b in zip(ours, theirs)):
            return "pyRTA drops identical twins (too small by them); equal once they are told apart"
        return f"UNEXPLAINED: theirs {theirs}, told apart {distinct}"

    return explain


def pycpa():
    """Response times by pyCPA, whose blocking is a whole job: once as it is, once with what is left after one tick."""
    from pycpa import analysis, model, options, schedulers

    options.init_pycpa(True)

    def response(case, i, rest):
        system = model.System()
        resource = system.bind_resource(model.Resource("r", schedulers.SPNPScheduler(cycle_time=1)))
        urgent = case["tasks"][i]["P"]
        for k, task in enumerate(case["tasks"]):
            cost = task["C"] - int(rest and task["P"] > urgent)
            bound = resource.bind_task(model.Task(f"t{k}", bcet=cost, wcet=cost, scheduling_parameter=task["P"]))
            bound.in_event_model = model.PJdEventModel(P=task["T"], J=0)
        results = {task: analysis.TaskResult() for task in resource.tasks}
        task = next(task for task in resource.tasks if task.name == f"t{i}")
        analysis.analyze_task(task, results)
        return results[task].wcrt

    def explain(case):
        if case["policy"] != "np-fp":
            return None
        n = len(case["tasks"])
        ours = case["R"]
        as_is = [response(case, i, rest=False) for i in range(n)]
        if as_is == ours:
            return "equal"
        if [response(case, i, rest=True) for i in range(n)] == ours and all(a >= b for a, b in zip(as_is, ours)):
            return "pyCPA's time is continuous: whole jobs block (too large by it); equal with one tick less"
        return f"UNEXPLAINED: theirs {as_is}"

    return explain


def main():
    cases = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
    unexplained = 0
    for peer in (pyrta, pycpa):
        try:
            explain = peer()
        except ImportError as why:
            print(f"{peer.__name__}: left out, {why}")
            continue
        counts = collections.Counter()
        for case in cases:
            how = explain(case)
            if how is None:
                continue
            if how.startswith("UNEXPLAINED"):
                unexplained += 1
                print(f"{peer.__name__}: {how}: {case}")
                how = "UNEXPLAINED"
            counts[case["policy"], how] += 1
        for (policy, how), count in sorted(counts.items()):
            print(f"{peer.__name__:<6} {policy:<6} {count:>7} sets: {how}")
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()

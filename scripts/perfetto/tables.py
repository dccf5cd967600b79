"""Chrome JSON, CSV and OpenTelemetry spans against the trace."""

import collections
import csv
import decimal
import io
import json

from packets import same


def chrome(trace, data):
    """Compares, and returns how many events there were. Times are exact decimals."""
    export = json.loads(data, parse_float=decimal.Decimal)
    events = export["traceEvents"]
    named = [e for e in events if e["ph"] == "M" and e["name"] == "thread_name"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in named}

    def ns(micros):
        scaled = micros * 1000
        assert scaled == int(scaled)
        return int(scaled)

    stacks, slices, devices, instants = collections.defaultdict(list), [], [], []
    flows, counters = collections.defaultdict(list), collections.defaultdict(list)
    for index, event in sorted(enumerate(events), key=lambda e: (ns(e[1].get("ts", 0)), e[0])):
        line = (event["pid"], event["tid"])
        match event["ph"]:
            case "B":
                stacks[line].append(event)
            case "E":
                begin = stacks[line].pop()
                depth = len(stacks[line])
                slices.append((names[line], ns(begin["ts"]), ns(event["ts"]), begin["name"], depth))
            case "X" if event["pid"] == 2:
                devices.append((names[line], ns(event["ts"]), ns(event["dur"]), event["name"], event["cat"]))
            case "X" | "i":
                instants.append((names[line], ns(event["ts"]), event["args"].get("seq"), event["args"].get("text")))
            case "C":
                counters[event["name"]].append((ns(event["ts"]), event["args"]["bytes"]))
            case "s" | "t" | "f":
                flows[event["id"]].append((event["ph"], names[line], ns(event["ts"])))
            case other:
                assert other == "M", event
    assert not any(stacks.values())
    runs = list(trace.runs())
    same(devices, [(j.model, b, e - b, j.name, f"segment {s.index}") for j, s, b, e in runs])
    same([s for s in slices if s[0] == "worker"], [("worker", b, e, j.name, 0) for j, s, b, e in runs])
    same(
        [s for s in slices if s[0].startswith("jobs of ") and s[4] == 0],
        [(f"jobs of {j.model}", j.arrival, trace.until(j), j.name, 0) for j in trace.jobs.values()],
    )
    same(
        [i for i in instants if i[0] in ("scheduler", "other records")],
        [
            ("scheduler" if r["kind"] == "step" else "other records", r["at_ns"], r["seq"], r["text"])
            for r in trace.records
            if r["kind"] not in ("started", "ended")
        ],
    )
    assert dict(counters) == {f"memory of {m}: {k}, {s}": v for (m, k, s), v in trace.memory().items()}
    same(
        [(f[0][2], f[-1][2]) for f in flows.values() if f[0][0] == "s" and f[-1][0] == "f"],
        [(j.released, j.retired) for j in trace.jobs.values() if j.released is not None and j.retired is not None],
    )
    assert export["otherData"]["created_unix_ns"] == trace.info["created_unix_ns"]
    return len(events)


def records(trace, data):
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert [json.loads(row["body"]) for row in rows] == [r["body"] for r in trace.records]
    columns = ["at_ns", "recorder", "seq", "kind", "model", "job", "text"]
    for row, record in zip(rows, trace.records, strict=True):
        assert [row[c] for c in columns] == ["" if record[c] is None else str(record[c]) for c in columns]
    return len(rows)


def jobs(trace, data):
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    same([row["job"] for row in rows], list(trace.jobs))
    for row in rows:
        job_row(trace, row)
    return len(rows)


def job_row(trace, row):
    job = trace.jobs[row["job"]]
    number = {name: None if row[name] in ("", None) else int(row[name]) for name in list(row)[4:]}
    assert (row["model"], int(row["number"]), row["verdict"]) == (job.model, job.seq, job.verdict)
    until = trace.until(job)
    assert (number["arrival_ns"], number["until_ns"]) == (job.arrival, until), row
    assert number["release_ns"] == job.released
    response = None if job.retired is None else job.retired - job.arrival
    assert (number["response_ns"], number["age_ns"]) == (response, until - job.arrival)
    if job.verdict == "missed":
        assert (number["deadline_ns"], number["late_ns"]) == (job.deadline, until - job.deadline)
    runs = sorted((s.begin, s.end(until)) for s in job.segments.values())
    assert number["started_ns"] == (runs[0][0] if runs else None)
    assert number["queued_ns"] == (runs[0][0] - job.arrival if runs else None)
    assert number["executed_ns"] == (sum(e - b for b, e in runs) if runs else None)
    causes = list(number)[list(number).index("late_release_ns"):]
    assert sum(number[cause] for cause in causes) == number["age_ns"]


def spans(trace, data, message):
    """OTLP spans, after the classes of the protocol have read them."""
    export = json.loads(data)
    for span in all_spans(export):
        assert len(bytes.fromhex(span["traceId"])) == 16 and len(bytes.fromhex(span["spanId"])) == 8
    message(data)
    began = trace.info["created_unix_ns"]
    outer = {s["spanId"]: s for s in all_spans(export) if "parentSpanId" not in s}
    same(
        [(s["name"], int(s["startTimeUnixNano"]) - began, int(s["endTimeUnixNano"]) - began) for s in outer.values()],
        [(j.name, j.arrival, trace.until(j)) for j in trace.jobs.values()],
    )
    ids, inside = set(outer), collections.Counter()
    for span in all_spans(export):
        if "parentSpanId" in span:
            assert span["spanId"] not in ids and span["traceId"] == outer[span["parentSpanId"]]["traceId"]
            ids.add(span["spanId"])
            inside[span["parentSpanId"]] += int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
    for span_id, span in outer.items():
        assert inside[span_id] == int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
    return len(ids)


def all_spans(export):
    return [s for r in export["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"]]

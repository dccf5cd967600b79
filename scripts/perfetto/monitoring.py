"""Metrics, as OpenMetrics read by the parser of `prometheus_client` and as OTLP read by the protocol's own classes, against
the trace."""

import decimal
import json

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed

from truth import first


def openmetrics(trace, data):
    """Compares, and returns every sample by name and labels."""
    samples = {}
    for family in parsed(data.decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples
            samples[key] = sample.value

    def value(name, **labels):
        return samples[name, frozenset(labels.items())]

    for model in trace.tasks:
        verdicts = trace.verdicts(model)
        for outcome in ("met", "missed", "faulted", "refused"):
            assert value("aegisrt_requests_total", model=model, outcome=outcome) == verdicts[outcome]
        assert value("aegisrt_deadline_misses_total", model=model) == verdicts["missed"]
        assert value("aegisrt_requests_unfinished", model=model) == verdicts["unfinished"]
        for outcome in ("met", "missed", "faulted"):
            jobs = [j for j in trace.jobs.values() if (j.model, j.verdict) == (model, outcome)]
            if jobs:
                durations(trace, value, model, outcome, jobs)
    for (model, kind, source), values in trace.memory().items():
        found = value("aegisrt_model_memory_bytes", model=model, kind=kind, source=source)
        assert found == values[-1][1]
    for record in trace.records:
        kind, body = first(record["body"])
        name = {"Admitted": ("aegisrt_response_bound_seconds", "wcrt"), "Profiled": ("aegisrt_wcet_seconds", "wcet"),
                "Loaded": ("aegisrt_model_load_seconds", "took")}.get(kind)
        if name:
            assert near(value(name[0], model=record["model"]), body[name[1]])
    kinds = {kind: v for (name, labels), v in samples.items() if name == "aegisrt_trace_records_total"
             for kind in [dict(labels)["kind"]]}
    assert sum(kinds.values()) == len(trace.records)
    for model in trace.tasks:
        time = sum(v for (name, labels), v in samples.items()
                   if name == "aegisrt_response_time_seconds_total" and dict(labels)["model"] == model)
        assert near(time, sum(trace.until(j) - j.arrival for j in trace.jobs.values() if j.model == model))
    return samples


def durations(trace, value, model, outcome, jobs):
    labels = {"model": model, "outcome": outcome}
    times = {"duration": [trace.until(j) - j.arrival for j in jobs], "queue": [], "gpu": []}
    for job in jobs:
        runs = [(s.begin, s.end(trace.until(job))) for s in job.segments.values()]
        times["queue"].append(min(b for b, _ in runs) - job.arrival)
        times["gpu"].append(sum(e - b for b, e in runs))
    for name, all_ns in times.items():
        metric = f"aegisrt_request_{name}_seconds"
        assert value(f"{metric}_count", **labels) == len(all_ns)
        assert near(value(f"{metric}_sum", **labels), sum(all_ns))
        for le in ("0.0001", "0.0025", "0.1", "1.0", "10.0", "+Inf"):
            bound = decimal.Decimal(le.replace("+Inf", "Infinity")) * 10**9
            assert value(f"{metric}_bucket", **labels, le=le) == sum(ns <= bound for ns in all_ns), (metric, le)


def near(seconds, ns):
    """Equal, but for the rounding of the reader's floats."""
    return abs(seconds * 1e9 - ns) <= 1e-6 * max(ns, 1)


def otlp(data, samples, message):
    """The same values as the OpenMetrics export."""
    message(data)
    [resource] = json.loads(data)["resourceMetrics"]
    [scope] = resource["scopeMetrics"]
    compared = 0
    for metric in scope["metrics"]:
        [(kind, content)] = [(k, metric[k]) for k in ("sum", "gauge", "histogram") if k in metric]
        assert kind == "gauge" or content["aggregationTemporality"] == 2
        for point in content["dataPoints"]:
            labels = frozenset((a["key"], a["value"]["stringValue"]) for a in point["attributes"])
            if kind == "histogram":
                assert samples[metric["name"] + "_count", labels] == int(point["count"])
                assert abs(samples[metric["name"] + "_sum", labels] - point["sum"]) < 1e-9
                counts = [int(n) for n in point["bucketCounts"]]
                assert len(counts) == len(point["explicitBounds"]) + 1
                for i, bound in enumerate([*map(str, point["explicitBounds"]), "+Inf"]):
                    assert samples[metric["name"] + "_bucket", labels | {("le", bound)}] == sum(counts[: i + 1])
                compared += 2 + len(counts)
            else:
                info = metric["name"] == "aegisrt_build"
                suffix = "_total" if kind == "sum" else "_info" if info else ""
                number = int(point["asInt"]) if "asInt" in point else point["asDouble"]
                assert samples[metric["name"] + suffix, labels] == number, metric["name"]
                compared += 1
    assert compared == len(samples), (compared, len(samples))
    return compared

#!/usr/bin/env python3
"""Every export of `aegis trace`, read by the tools that it is for, against what the trace says; exits with 1 if one differs.

    python3 -m venv target/exports && target/exports/bin/pip install -r scripts/perfetto/requirements.txt
    target/exports/bin/python scripts/perfetto/check.py target/release/aegis

makes traces with simulated models (met and missed deadlines, refusals, faults, rejection), exports each in every format,
and prints what was compared. `check.py --packages` says whether the packages are there. Where Perfetto's trace processor can
be started (`--trace-processor PATH`, or fetched by the package), a query in SQL is compared as well; where not, it says so.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile

PACKAGES = ["perfetto", "prometheus_client", "opentelemetry", "google.protobuf"]
SYSTEM = """
[[task]]
name = "camera"
period = "50 ms"
deadline = "2 s"
queue = 20
wcet = "10 ms"
sim = {{ weights = "1 MiB", scratch = "2 MiB", time = {{ law = "constant", value = "2 ms" }}, faults = {{ fail_every = 3 }} }}

[[task]]
name = "lidar"
period = "100 ms"
deadline = "2 s"
queue = 20
wcet = "{wcet}"
sim = {{ scratch = "1 MiB", segments = 2, time = {{ law = "constant", value = "3 ms" }} }}

[[task]]
name = "radar"
period = "100 ms"
deadline = "50 ms"
queue = 1
wcet = "10 ms"
sim = {{ time = {{ law = "constant", value = "{radar}" }} }}
"""
OVERLOAD = {
    "policy": "np-edf",
    "tasks": [
        {"name": "pla\"n,ner µ", "c_ns": 700_001, "t_ns": 1_000_003, "d_ns": 900_000},
        {"name": "b", "c_ns": 900_007, "t_ns": 2_000_001, "d_ns": 8_000_000},
    ],
}


def missing():
    def there(name):
        try:
            return importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:
            return False

    return [name for name in PACKAGES if not there(name)]


def main():
    absent = missing()
    if "--packages" in sys.argv:
        print("missing: " + ", ".join(absent) if absent else "all packages are there")
        return 1 if absent else 0
    if absent or len(sys.argv) < 2:
        sys.exit(__doc__ + (f"\nmissing packages: {', '.join(absent)}" if absent else ""))
    aegis = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        for name, path in traces(aegis, pathlib.Path(folder)):
            compare(aegis, name, path)
    return 0


def traces(aegis, folder):
    """Traces with everything that a trace can say."""
    def run(name, expected, **values):
        place = folder / name
        place.mkdir()
        (place / "system.toml").write_text(SYSTEM.format(**values))
        metrics = str(place / "metrics.txt")
        ran = subprocess.run([aegis, "run", "system.toml", "--duration", "500ms", "--metrics", metrics],
                             cwd=place, capture_output=True, text=True)
        assert ran.returncode == expected, ran
        return name, place / "system.aegis-trace"

    yield run("met and faulted", 1, wcet="10 ms", radar="1 ms")
    yield run("missed and refused", 3, wcet="10 ms", radar="130 ms")
    yield run("rejected", 3, wcet="2000 ms", radar="1 ms")
    (folder / "tasks.json").write_text(json.dumps(OVERLOAD))
    trace = folder / "simulated.trace"
    ran = subprocess.run([aegis, "simulate", "--tasks", "tasks.json", "--duration", "50ms", "--trace", str(trace)],
                         cwd=folder, capture_output=True, text=True)
    assert ran.returncode in (0, 3), ran
    yield "simulated overload", trace


def compare(aegis, name, path):
    import monitoring
    import packets
    import tables
    from truth import Trace

    trace = Trace(aegis, str(path))

    def export(kind, *arguments):
        answer = subprocess.run([aegis, "trace", *arguments], capture_output=True, check=True)
        return answer.stdout

    def exported(form):
        return export(form, "export", str(path), "--format", form, "--output", "-")

    print(f"{name}: {len(trace.records)} records, {len(trace.jobs)} jobs")
    proto = exported("perfetto")
    print(f"  perfetto: {packets.check(trace, proto)} packets, {len(proto)} bytes")
    print(f"  chrome: {tables.chrome(trace, exported('chrome'))} events")
    print(f"  csv: {tables.records(trace, exported('csv'))} rows")
    print(f"  jobs-csv: {tables.jobs(trace, exported('jobs-csv'))} rows")
    print(f"  otlp-spans: {tables.spans(trace, exported('otlp-spans'), read_spans)} spans")
    text = export("metrics", "metrics", str(path))
    samples = monitoring.openmetrics(trace, text)
    print(f"  openmetrics: {len(samples)} samples")
    beside = path.parent / "metrics.txt"
    if beside.exists():
        assert beside.read_bytes() == text, "`aegis run --metrics` writes what `aegis trace metrics` prints"
    otlp = export("otlp", "metrics", str(path), "--format", "otlp")
    print(f"  otlp: {monitoring.otlp(otlp, samples, read_metrics)} values")
    notebooks(aegis, path)
    queried(trace, proto)


def notebooks(aegis, path):
    """Arrow tables, where this program writes them."""
    if importlib.util.find_spec("pyarrow") is None:
        print("  arrow: !!! SKIPPED: pyarrow is not installed")
        return
    import notebooks as tables_of_arrow

    for what in ([], ["--jobs"]):
        command = [aegis, "trace", "query", str(path), *what, "--format"]
        table = subprocess.run([*command, "csv"], capture_output=True, check=True).stdout
        arrow = subprocess.run([*command, "arrow", "--output", "-"], capture_output=True)
        if b"built without it" in arrow.stderr:
            print("  arrow: !!! SKIPPED: aegis was built without the feature `arrow`")
            return
        columns = table.split(b"\n", 1)[0].decode().split(",")
        rows = tables_of_arrow.check(arrow.stdout, table, columns)
        print(f"  arrow: {rows} rows of {'jobs' if what else 'records'}")


def read_metrics(data):
    from google.protobuf import json_format
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service

    return json_format.Parse(data, service.ExportMetricsServiceRequest())


def read_spans(data):
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    return json_format.Parse(data, service.ExportTraceServiceRequest())


def queried(trace, proto):
    """What Perfetto itself makes of the packets, if its trace processor can be had."""
    from perfetto.trace_processor import TraceProcessor, TraceProcessorConfig
    import io

    path = sys.argv[sys.argv.index("--trace-processor") + 1] if "--trace-processor" in sys.argv else None
    if path is None:
        print("  SQL: !!! SKIPPED: no --trace-processor was given")
        return
    processor = TraceProcessor(trace=io.BytesIO(proto), config=TraceProcessorConfig(bin_path=path))
    [row] = processor.query("select count(*) as n, sum(dur) as dur from gpu_slice")
    runs = [e - b for _, _, b, e in trace.runs()]
    assert (row.n, row.dur or 0) == (len(runs), sum(runs)), row
    print(f"  SQL: {row.n} device slices")


if __name__ == "__main__":
    sys.exit(main())

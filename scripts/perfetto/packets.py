"""Perfetto's protobuf export, decoded by the classes of the package `perfetto`, against the trace: every packet, name,
instant, length, flow, counter and argument."""

import collections

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

from truth import first

Event = pb.TrackEvent


def check(trace, data):
    """Compares, and returns how many packets there were."""
    decoded = pb.Trace()
    assert decoded.ParseFromString(data) == len(data)
    assert len(decoded.SerializeToString()) == len(data), "nothing is written twice, or longer than it has to be"
    known(decoded)
    packets = list(decoded.packet)
    left = collections.Counter(kind(packet) for packet in packets)
    assert all(packet.trusted_packet_sequence_id == 1 for packet in packets)
    assert [p.sequence_flags for p in packets] == [1] + [2] * (len(packets) - 1)

    clocks = {c.clock_id: c.timestamp for c in packets[0].clock_snapshot.clocks}
    created = trace.info["created_unix_ns"]
    assert clocks == ({6: 0, 1: created} if created else {6: 0}), clocks
    left["clock_snapshot"] -= 1
    assert packets[1].gpu_info.gpus[0].name and packets[1].interned_data.graphics_contexts[0].iid == 1
    left["gpu_info"] -= 1

    tracks = {}
    for packet in packets:
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert track.uuid not in tracks
            tracks[track.uuid] = track
    left["track_descriptor"] -= len(tracks)
    [root] = [t.uuid for t in tracks.values() if t.HasField("process")]
    assert all(t.parent_uuid == root for t in tracks.values() if t.uuid != root)

    events = collections.defaultdict(list)
    for packet in packets:
        if packet.HasField("track_event"):
            event = packet.track_event
            assert event.track_uuid in tracks, "a track is described before it is used"
            events[named(tracks[event.track_uuid]), event.track_uuid].append((packet.timestamp, event))
    left["track_event"] -= sum(map(len, events.values()))

    def of(name):
        return sorted((e for (n, _), es in events.items() if n == name for e in es), key=lambda e: e[0])

    slices = {track: nested(sorted(es, key=lambda e: e[0])) for track, es in events.items()}

    def slices_of(name):
        return [s for (n, _), ss in slices.items() if n == name for s in ss]

    decisions(trace, of("scheduler"))
    others(trace, of("other records"))
    threads(trace, slices_of("worker"), slices_of("dispatcher"))
    flows(trace, of("scheduler"), slices_of("worker"))
    for model in trace.tasks:
        jobs(trace, model, slices_of(f"jobs of {model}"))
    markers(trace, of("late, faulted, refused"))
    memory(trace, {name: es for (name, _), es in events.items() if name.startswith("memory of ")})
    left["gpu_render_stage_event"] -= queues(trace, packets, left)
    assert not +left and not -left, left
    return len(packets)


def known(message):
    """Fails on a field that the format does not have."""
    assert not list(UnknownFieldSet(message)), message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                known(inner)


def kind(packet):
    """The packet's content; interned data may stand beside it."""
    data = packet.WhichOneof("data")
    return data or ("interned_data" if packet.HasField("interned_data") else "nothing")


def named(track):
    return track.thread.thread_name or track.process.process_name or track.name


def arguments(event):
    return {
        a.name: a.uint_value if a.HasField("uint_value") else a.string_value for a in event.debug_annotations
    }


def nested(events):
    """Slices of one track as (from, to, name, event, depth); begins and ends must pair."""
    open_slices, slices = [], []
    for at, event in events:
        if event.type == Event.TYPE_SLICE_BEGIN:
            open_slices.append((at, event))
        elif event.type == Event.TYPE_SLICE_END:
            begin, slice_ = open_slices.pop()
            assert begin <= at
            slices.append((begin, at, slice_.name, slice_, len(open_slices)))
    assert not open_slices
    return slices


def same(found, expected):
    found, expected = collections.Counter(found), collections.Counter(expected)
    assert found == expected, f"only in the export: {found - expected}; only in the trace: {expected - found}"


def decisions(trace, events):
    expected = []
    for record in trace.records:
        kind_, body = first(record["body"])
        if kind_ == "Step":
            action, _ = first(body["decision"]["action"])
            event, _ = first(body["event"])
            name = " ".join(filter(None, [action.lower(), record["job"]]))
            expected.append((record["at_ns"], name, event.lower(), record["text"], record["recorder"], record["seq"]))
    found = []
    for at, event in events:
        assert event.type == Event.TYPE_INSTANT and list(event.categories) == ["decision"]
        a = arguments(event)
        assert a["reason"], "every decision has its reason"
        found.append((at, event.name, a["event"], a["text"], a["recorder"], a["seq"]))
    same(found, expected)


def others(trace, events):
    expected = [
        (r["at_ns"], " ".join(filter(None, [r["kind"], r["job"] or r["model"]])), r["text"], r["seq"])
        for r in trace.records
        if r["kind"] not in ("step", "started", "ended")
    ]
    same([(at, e.name, arguments(e)["text"], arguments(e)["seq"]) for at, e in events], expected)


def threads(trace, worker, dispatcher):
    same(
        [(b, e, name, arguments(event)["segment"]) for b, e, name, event, _ in worker],
        [(b, e, job.name, segment.index) for job, segment, b, e in trace.runs()],
    )
    expected = []
    for job, segment, begin, end in trace.runs():
        if segment.chosen is not None and segment.chosen < begin:
            expected.append((segment.chosen, begin, f"dispatch {job.name}"))
        if segment.told is not None and end < segment.told:
            expected.append((end, segment.told, f"complete {job.name}"))
    same([(b, e, name) for b, e, name, _, _ in dispatcher], expected)


def flows(trace, decided, worker):
    """From its release to its completion, one arrow a job through all of its segments."""
    number = {}
    for at, event in decided:
        for flow in event.flow_ids:
            assert flow not in number.values() and event.name.startswith("enqueue ")
            number[event.name.removeprefix("enqueue ")] = flow
    same(list(number), [job.name for job in trace.jobs.values() if job.released is not None])
    ends = {event.name.removeprefix("retire "): list(event.terminating_flow_ids)
            for _, event in decided if event.terminating_flow_ids}
    assert ends == {j.name: [number[j.name]] for j in trace.jobs.values() if j.retired is not None}
    for _, _, name, event, _ in worker:
        assert list(event.flow_ids) == [number[name]], name


def jobs(trace, model, slices):
    """Each job once, from its arrival to its end, and inside it its causes without a hole."""
    outer = [s for s in slices if s[4] == 0]
    same(
        [(b, e, name, arguments(event)["verdict"]) for b, e, name, event, _ in outer],
        [(j.arrival, trace.until(j), j.name, j.verdict) for j in trace.jobs.values() if j.model == model],
    )
    inner = collections.defaultdict(int)
    for begin, end, _, event, depth in slices:
        if depth == 1:
            assert arguments(event)["ns"] == end - begin
            inner[event.track_uuid] += end - begin
    total = collections.defaultdict(int)
    for begin, end, _, event, _ in outer:
        total[event.track_uuid] += end - begin
    assert {t: n for t, n in total.items() if n} == {t: n for t, n in inner.items() if n}


def markers(trace, events):
    expected = []
    for job in trace.jobs.values():
        if job.verdict in ("missed", "faulted", "refused"):
            expected.append((trace.until(job), job.name, job.verdict))
            if job.verdict == "missed":
                [event] = [e for _, e in events if arguments(e)["job"] == job.name]
                assert event.name.startswith(f"{job.name} late by ")
                assert arguments(event)["deadline_ns"] == job.deadline
                assert arguments(event)["late_ns"] == job.retired - job.deadline
    found = [(at, arguments(e)["job"], e.categories[0]) for at, e in events if " unfinished," not in e.name]
    same(found, expected)


def memory(trace, counters):
    expected = {f"memory of {m}: {kind}, {source}": values for (m, kind, source), values in trace.memory().items()}
    found = {name: [(at, e.counter_value) for at, e in events] for name, events in counters.items()}
    assert found == expected, (found, expected)


def queues(trace, packets, left):
    """Segments on the queue of their model, with interned queues and stages."""
    names, found = {}, []
    for packet in packets:
        for specification in packet.interned_data.gpu_specifications:
            assert specification.iid not in names and specification.category == specification.COMPUTE
            names[specification.iid] = specification.name
            left["interned_data"] -= 1
        if packet.HasField("gpu_render_stage_event"):
            e = packet.gpu_render_stage_event
            assert (e.event_id, e.submission_id, e.gpu_id, e.context) == (len(found), len(found), 0, 1)
            found.append((packet.timestamp, e.duration, e.name, names[e.hw_queue_iid], names[e.stage_iid]))
    expected = [(b, e - b, j.name, j.model, f"segment {s.index}") for j, s, b, e in trace.runs()]
    same(found, expected)
    return len(found)

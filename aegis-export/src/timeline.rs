//! A trace as tracks with slices, instants and counters: what the Perfetto and the Chrome export both tell.
//!
//! Marks of one track come in the order of time, and each slice ends inside the slice around it, whatever the records say:
//! a slice that would begin before the one beside it has ended is cut off there.
use crate::{ExportError, JobLine, JobVerdict, Operator, Operators, Run, job_lines, table};
use aegis_core::{Bytes, JobId, Nanos, TaskId};
use aegis_trace::{Body, Entry, Header, Jobs, Purpose, Record, Trace};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A line of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Track {
    /// The decisions of the scheduler, an instant each.
    Scheduler,
    /// The time between choice and start, and between end and the moment the scheduler was told.
    Dispatcher,
    /// Segments as the worker executes them.
    Worker,
    /// Jobs that did not give a result by their deadline.
    Lateness,
    /// Every other record.
    Records,
    /// The time in which records of one recorder are missing.
    Missing { recorder: u32 },
    /// Jobs of one task that do not overlap, from arrival to end.
    Jobs { task: TaskId, lane: u32 },
    /// Operators of a task's model on another thread than the one that ran it.
    Operators { task: TaskId, thread: u32 },
    /// Memory of one task.
    Memory(Memory),
}

/// Memory of one task for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Memory {
    pub task: TaskId,
    pub kind: MemoryKind,
    /// Placed by the plan; else as the runtime said when the model was loaded.
    pub planned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MemoryKind {
    Weights,
    Io,
    Scratch,
}

impl MemoryKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Io => "io",
            Self::Scratch => "scratch",
        }
    }
}

impl Memory {
    pub const fn source(self) -> &'static str {
        if self.planned { "planned" } else { "measured" }
    }
}

/// One argument of a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arg {
    Number(u64),
    Text(String),
}

pub(crate) type Args = Vec<(&'static str, Arg)>;

/// A mark's place in the arrow from a job's release to its completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    pub job: JobId,
    pub part: FlowPart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlowPart {
    First,
    Middle,
    Last,
}

impl Flow {
    /// One number a job: different for different jobs while there are fewer than 2⁴⁰ of a task.
    pub const fn id(self) -> u64 {
        ((self.job.task.0 as u64 + 1) << 40) ^ self.job.seq
    }
}

/// One thing to draw.
#[derive(Debug)]
pub(crate) enum Mark<'a> {
    Begin {
        track: Track,
        at: Nanos,
        name: &'a str,
        category: &'static str,
        flow: Option<Flow>,
        args: Args,
    },
    End {
        track: Track,
        at: Nanos,
    },
    Instant {
        track: Track,
        at: Nanos,
        name: &'a str,
        category: &'static str,
        flow: Option<Flow>,
        args: Args,
    },
    Counter {
        memory: Memory,
        at: Nanos,
        bytes: Bytes,
    },
    /// A segment on the queue of its model.
    Device {
        job: JobId,
        segment: u16,
        from: Nanos,
        length: Nanos,
        name: &'a str,
        args: Args,
    },
}

/// What draws.
pub(crate) trait Sink {
    fn draw(&mut self, mark: Mark<'_>) -> Result<(), ExportError>;
}

/// Tells the whole trace to `sink`, with `operators` under the segments in which they ran.
pub(crate) fn tell(trace: &Trace, operators: &Operators, sink: &mut impl Sink) -> Result<(), ExportError> {
    let jobs = Jobs::of(trace);
    let header = trace.header();
    for entry in trace.entries() {
        record(header, entry, sink)?;
    }
    missing(trace, sink)?;
    memory(trace, sink)?;
    let mut segments = Vec::new();
    let mut lanes = Lanes::default();
    for line in job_lines(&jobs) {
        let line = line?;
        lanes.job(header, &line, sink)?;
        lateness(header, &line, sink)?;
        let last = line.runs.len().saturating_sub(1);
        segments.extend(line.runs.iter().enumerate().map(|(i, run)| (*run, line.id, i == last)));
    }
    segments.sort_by_key(|(run, job, _)| (run.chosen.unwrap_or(run.from), run.from, *job, run.segment));
    host(header, &segments, operators, sink)
}

/// The name of a job's track or slice.
pub(crate) fn job_name(header: &Header, job: JobId) -> String {
    header.job_name(job).to_string()
}

fn number(ns: Nanos) -> Arg {
    Arg::Number(ns.0)
}

/// A decision as an instant with its reason; every other record as an instant with what it says.
fn record(header: &Header, entry: &Entry, sink: &mut impl Sink) -> Result<(), ExportError> {
    let Record { at, body } = entry.record;
    let text = Arg::Text(header.say(&entry.record).to_string());
    let about = crate::subject(&body);
    let named = |word: &str| match (about.job, about.task) {
        (Some(job), _) => format!("{word} {}", header.job_name(job)),
        (None, Some(task)) => format!("{word} {}", header.task_name(task)),
        (None, None) => word.to_owned(),
    };
    let mut args = vec![("text", text), ("recorder", Arg::Number(u64::from(entry.recorder)))];
    args.push(("seq", Arg::Number(entry.seq)));
    match body {
        Body::Step { event, decision } => {
            use aegis_core::{Action, Event};
            let told = match event {
                Event::Release { .. } => "release",
                Event::Finish { .. } => "finish",
                Event::Dispatch => "dispatch",
            };
            args.push(("event", Arg::Text(told.to_owned())));
            args.push(("reason", Arg::Text(header.reason(decision.why).to_string())));
            let part = match (event, decision.action) {
                (Event::Release { .. }, Action::Enqueue) => Some(FlowPart::First),
                (Event::Finish { .. }, Action::Retire) => Some(FlowPart::Last),
                _ => None,
            };
            let flow = part.and_then(|part| Some(Flow { job: about.job?, part }));
            let name = named(table::action(&body).unwrap_or_default());
            sink.draw(Mark::Instant {
                track: Track::Scheduler,
                at,
                name: &name,
                category: "decision",
                flow,
                args,
            })
        }
        // The worker's track shows them with their length.
        Body::Started { .. } | Body::Ended { .. } => Ok(()),
        body => {
            let name = named(body.kind().name());
            sink.draw(Mark::Instant {
                track: Track::Records,
                at,
                name: &name,
                category: body.kind().name(),
                flow: None,
                args,
            })
        }
    }
}

/// A slice for each gap, from the last record before it to the first one behind it; an instant where a trace is cut off. What
/// is drawn there is not all that happened.
fn missing(trace: &Trace, sink: &mut impl Sink) -> Result<(), ExportError> {
    let end = trace.entries().iter().map(|e| e.record.at).max().unwrap_or_default();
    let mut free: BTreeMap<u32, Nanos> = BTreeMap::new();
    for gap in trace.gaps() {
        let track = Track::Missing { recorder: gap.recorder };
        let free = free.entry(gap.recorder).or_default();
        let at = gap.after.unwrap_or_default().max(*free);
        *free = gap.before.unwrap_or(end).max(at);
        let name = format!("{} records missing", gap.missing());
        let args = vec![("first", Arg::Number(gap.first)), ("last", Arg::Number(gap.last))];
        sink.draw(Mark::Begin { track, at, name: &name, category: "missing", flow: None, args })?;
        sink.draw(Mark::End { track, at: *free })?;
    }
    if trace.complete() {
        return Ok(());
    }
    let name = "the trace is cut off here";
    let mark = Mark::Instant {
        track: Track::Records,
        at: end,
        name,
        category: "missing",
        flow: None,
        args: Vec::new(),
    };
    sink.draw(mark)
}

/// How much each task holds of each kind of memory, as far as records say. What the plan places in several regions is
/// summed.
pub(crate) fn memory(trace: &Trace, sink: &mut impl Sink) -> Result<(), ExportError> {
    let mut planned: BTreeMap<Memory, Bytes> = BTreeMap::new();
    for entry in trace.entries() {
        let Record { at, body } = entry.record;
        match body {
            Body::Loaded { task, weights, io, scratch, .. } => {
                for (kind, bytes) in [
                    (MemoryKind::Weights, Some(weights)),
                    (MemoryKind::Io, Some(io)),
                    (MemoryKind::Scratch, scratch),
                ] {
                    if let Some(bytes) = bytes {
                        let memory = Memory { task, kind, planned: false };
                        sink.draw(Mark::Counter { memory, at, bytes })?;
                    }
                }
            }
            Body::Placed { task, purpose, size, .. } => {
                let kind = match purpose {
                    Purpose::Weights => MemoryKind::Weights,
                    Purpose::Io => MemoryKind::Io,
                    Purpose::Scratch => MemoryKind::Scratch,
                };
                let memory = Memory { task, kind, planned: true };
                let bytes = planned.entry(memory).or_default();
                *bytes = Bytes(bytes.0.saturating_add(size.0));
                sink.draw(Mark::Counter { memory, at, bytes: *bytes })?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// An instant for each job that ended without a result by its deadline.
fn lateness(header: &Header, line: &JobLine, sink: &mut impl Sink) -> Result<(), ExportError> {
    let Some(explanation) = &line.explanation else { return Ok(()) };
    let late = line.late().unwrap_or_default();
    let job = job_name(header, line.id);
    let (name, category) = match line.verdict {
        JobVerdict::Missed => (format!("{job} late by {late}"), "missed"),
        JobVerdict::Faulted => (format!("{job} faulted"), "faulted"),
        JobVerdict::Refused => (format!("{job} refused"), "refused"),
        JobVerdict::Unfinished if late > Nanos::ZERO => {
            (format!("{job} unfinished, late by {late}"), "missed")
        }
        _ => return Ok(()),
    };
    let args = vec![
        ("job", Arg::Text(job)),
        ("deadline_ns", number(explanation.deadline)),
        ("late_ns", number(late)),
        ("age_ns", number(explanation.response())),
    ];
    let at = explanation.until;
    sink.draw(Mark::Instant { track: Track::Lateness, at, name: &name, category, flow: None, args })
}

/// Lanes on which jobs of one task are drawn beside each other when they overlap.
#[derive(Debug, Default)]
struct Lanes {
    task: TaskId,
    /// When each lane is free again, the earliest first.
    free: BinaryHeap<Reverse<(Nanos, u32)>>,
}

impl Lanes {
    /// A job from its arrival to its end, tiled by the causes of its response time. Jobs come by task and number.
    fn job(&mut self, header: &Header, line: &JobLine, sink: &mut impl Sink) -> Result<(), ExportError> {
        let Some(explanation) = &line.explanation else { return Ok(()) };
        if self.task != line.id.task {
            *self = Self { task: line.id.task, free: BinaryHeap::new() };
        }
        let lane = match self.free.peek() {
            Some(&Reverse((free, lane))) if free <= explanation.arrival => {
                self.free.pop();
                lane
            }
            _ => u32::try_from(self.free.len()).unwrap_or(u32::MAX),
        };
        self.free.push(Reverse((explanation.until, lane)));
        let track = Track::Jobs { task: line.id.task, lane };
        let ns = |time: Option<Nanos>| time.map(number);
        let mut args: Args = vec![
            ("verdict", Arg::Text(line.verdict.name().to_owned())),
            ("explanation", Arg::Text(header.narrate(explanation).to_string())),
        ];
        let known = [
            ("deadline_ns", ns(Some(explanation.deadline).filter(|d| *d < Nanos::MAX))),
            ("age_ns", ns(line.age())),
            ("queued_ns", ns(line.queued())),
            ("executed_ns", ns(line.executed())),
            ("late_ns", ns(line.late())),
        ];
        args.extend(known.into_iter().filter_map(|(name, arg)| Some((name, arg?))));
        sink.draw(Mark::Begin {
            track,
            at: explanation.arrival,
            name: &job_name(header, line.id),
            category: "job",
            flow: None,
            args,
        })?;
        for cause in &explanation.causes {
            let name = match cause.by {
                Some(by) => format!("{} by {}", cause.kind.name(), header.job_name(by)),
                None => cause.kind.name().to_owned(),
            };
            let mut args: Args = vec![("ns", number(cause.ns))];
            args.extend(cause.by.map(|by| ("by", Arg::Text(job_name(header, by)))));
            let begin =
                Mark::Begin { track, at: cause.from, name: &name, category: "cause", flow: None, args };
            sink.draw(begin)?;
            sink.draw(Mark::End { track, at: cause.to })?;
        }
        sink.draw(Mark::End { track, at: explanation.until })
    }
}

/// The tracks of the two threads and the queues of the device.
fn host(
    header: &Header,
    segments: &[(Run, JobId, bool)],
    operators: &Operators,
    sink: &mut impl Sink,
) -> Result<(), ExportError> {
    let [mut dispatcher, mut worker] =
        [Track::Dispatcher, Track::Worker].map(|track| Thread { track, free: Nanos::ZERO });
    for (run, job, last) in segments {
        let name = job_name(header, *job);
        if let Some(chosen) = run.chosen.filter(|chosen| *chosen < run.from) {
            let name = format!("dispatch {name}");
            dispatcher.slice(sink, (*job, run.segment), [chosen, run.from], &name, "dispatch", &[])?;
        }
        let inside = operators.of(*job, run.segment);
        let (own, others) = inside.split_at(inside.partition_point(|operator| operator.thread == 0));
        worker.slice(sink, (*job, run.segment), [run.from, run.to], &name, "segment", own)?;
        for others in others.chunk_by(|a, b| a.thread == b.thread) {
            let thread = others.first().map_or(0, |operator| operator.thread);
            nested(sink, Track::Operators { task: job.task, thread }, [run.from, run.to], others)?;
        }
        if let Some(told) = run.told.filter(|told| run.to < *told) {
            let name = format!("complete {name}");
            dispatcher.slice(sink, (*job, run.segment), [run.to, told], &name, "completion", &[])?;
        }
        let mut args: Args = vec![("segment", Arg::Number(u64::from(run.segment)))];
        args.push(("last", Arg::Number(u64::from(*last))));
        sink.draw(Mark::Device {
            job: *job,
            segment: run.segment,
            from: run.from,
            length: run.length(),
            name: &name,
            args,
        })?;
    }
    Ok(())
}

/// A track on which one slice follows the other.
struct Thread {
    track: Track,
    /// When the last slice ended.
    free: Nanos,
}

impl Thread {
    fn slice(
        &mut self,
        sink: &mut impl Sink,
        (job, segment): (JobId, u16),
        [from, to]: [Nanos; 2],
        name: &str,
        category: &'static str,
        inside: &[Operator],
    ) -> Result<(), ExportError> {
        let from = from.max(self.free);
        let to = to.max(from);
        self.free = to;
        let args: Args = vec![("segment", Arg::Number(u64::from(segment)))];
        let flow = Some(Flow { job, part: FlowPart::Middle });
        sink.draw(Mark::Begin { track: self.track, at: from, name, category, flow, args })?;
        nested(sink, self.track, [from, to], inside)?;
        sink.draw(Mark::End { track: self.track, at: to })
    }
}

/// Operators of one thread, by beginning and the longer first, between two instants: one that begins inside another is
/// drawn inside it, and ends with it at the latest.
fn nested(
    sink: &mut impl Sink,
    track: Track,
    [from, to]: [Nanos; 2],
    operators: &[Operator],
) -> Result<(), ExportError> {
    let mut ends: Vec<Nanos> = Vec::new();
    for operator in operators {
        let at = operator.from.clamp(from, to);
        while let Some(end) = ends.pop_if(|end| *end <= at) {
            sink.draw(Mark::End { track, at: end })?;
        }
        let around = ends.last().copied().unwrap_or(to);
        ends.push(operator.to.clamp(at, around));
        let known = [("op", &operator.op), ("provider", &operator.provider)];
        let known = known.into_iter().filter(|(_, text)| !text.is_empty());
        let args: Args = known.map(|(name, text)| (name, Arg::Text(text.clone()))).collect();
        let begin = Mark::Begin { track, at, name: &operator.name, category: "operator", flow: None, args };
        sink.draw(begin)?;
    }
    while let Some(end) = ends.pop() {
        sink.draw(Mark::End { track, at: end })?;
    }
    Ok(())
}

//! Chrome's trace event format: one JSON object with a list of events, which chrome://tracing and ui.perfetto.dev open.
use crate::timeline::{Arg, Args, Flow, FlowPart, Mark, Sink, Track, tell};
use crate::{ExportError, Operators};
use aegis_core::{Nanos, TaskId};
use aegis_trace::{Header, Trace};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

/// Process numbers of the export, which stand for no process of the system.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// Writes the trace as Chrome JSON, with `operators` under the segments in which they ran. Times are in microseconds with three decimals, exact to the nanosecond.
///
/// # Errors
/// [`ExportError::Write`].
pub fn chrome(trace: &Trace, operators: &Operators, sink: impl Write) -> Result<(), ExportError> {
    let header = trace.header();
    let mut chrome = Chrome { sink, header, first: true, threads: BTreeMap::new() };
    chrome.begin(trace)?;
    tell(trace, operators, &mut chrome)?;
    chrome.end()
}

struct Chrome<'t, W> {
    sink: W,
    header: &'t Header,
    first: bool,
    /// Thread number of each track that was named.
    threads: BTreeMap<Line, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Host(Track),
    Queue(TaskId),
}

impl Line {
    const fn process(self) -> u32 {
        match self {
            Self::Host(_) => HOST,
            Self::Queue(_) => DEVICE,
        }
    }
}

/// Microseconds, exactly.
fn micros(at: Nanos) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "{}.{:03}", at.0 / 1000, at.0 % 1000))
}

/// A JSON string.
fn quoted(text: &str) -> Result<String, ExportError> {
    Ok(serde_json::to_string(text).map_err(io::Error::from)?)
}

impl<W: Write> Chrome<'_, W> {
    fn begin(&mut self, trace: &Trace) -> Result<(), ExportError> {
        let header = self.header;
        let other = serde_json::json!({
            "schema_version": 1,
            "program": header.program,
            "host": header.host,
            "clock": header.clock,
            "created_unix_ns": header.created_unix_ns,
            "policy": header.set.policy().name(),
            "complete": trace.complete(),
            "missing": trace.gaps().iter().fold(0u64, |sum, gap| sum.saturating_add(gap.missing())),
        });
        write!(self.sink, "{{\"displayTimeUnit\":\"ns\",\"otherData\":{other},\"traceEvents\":[")?;
        for (process, name) in [(HOST, "host"), (DEVICE, "device queues")] {
            self.name("process_name", process, 0, name)?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), ExportError> {
        self.sink.write_all(b"\n]}\n")?;
        Ok(self.sink.flush()?)
    }

    fn name(&mut self, what: &str, process: u32, thread: u32, name: &str) -> Result<(), ExportError> {
        self.separate()?;
        let name = quoted(name)?;
        write!(
            self.sink,
            r#"{{"ph":"M","name":"{what}","pid":{process},"tid":{thread},"args":{{"name":{name}}}}}"#
        )?;
        Ok(())
    }

    fn separate(&mut self) -> Result<(), ExportError> {
        let separator = if std::mem::take(&mut self.first) { "\n" } else { ",\n" };
        Ok(self.sink.write_all(separator.as_bytes())?)
    }

    /// The thread number of a line; named when it is first drawn on.
    fn thread(&mut self, line: Line) -> Result<u32, ExportError> {
        if let Some(thread) = self.threads.get(&line) {
            return Ok(*thread);
        }
        let thread = u32::try_from(self.threads.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.threads.insert(line, thread);
        let name = match line {
            Line::Host(track) => track_name(self.header, track),
            Line::Queue(task) => self.header.task_name(task).to_string(),
        };
        self.name("thread_name", line.process(), thread, &name)?;
        Ok(thread)
    }

    fn event(
        &mut self,
        phase: &str,
        line: Line,
        at: Nanos,
        rest: fmt::Arguments<'_>,
    ) -> Result<(), ExportError> {
        let thread = self.thread(line)?;
        self.separate()?;
        let (process, at) = (line.process(), micros(at));
        Ok(write!(self.sink, r#"{{"ph":"{phase}","pid":{process},"tid":{thread},"ts":{at}{rest}}}"#)?)
    }

    fn flow(&mut self, line: Line, at: Nanos, flow: Option<Flow>) -> Result<(), ExportError> {
        let Some(flow) = flow else { return Ok(()) };
        let (phase, bind) = match flow.part {
            FlowPart::First => ("s", ""),
            FlowPart::Middle => ("t", ""),
            FlowPart::Last => ("f", r#","bp":"e""#),
        };
        let id = flow.id();
        self.event(phase, line, at, format_args!(r#","name":"job","cat":"flow","id":"{id:#x}"{bind}"#))
    }
}

/// The name of a track of the host, in both exports.
pub(crate) fn track_name(header: &Header, track: Track) -> String {
    match track {
        Track::Scheduler => "scheduler".to_owned(),
        Track::Dispatcher => "dispatcher".to_owned(),
        Track::Worker => "worker".to_owned(),
        Track::Lateness => "late, faulted, refused".to_owned(),
        Track::Records => "other records".to_owned(),
        Track::Missing { recorder } => format!("missing of recorder {recorder}"),
        Track::Jobs { task, .. } => format!("jobs of {}", header.task_name(task)),
        Track::Operators { task, thread } => {
            format!("operators of {}, thread {thread}", header.task_name(task))
        }
        Track::Memory(memory) => {
            format!(
                "memory of {}: {}, {}",
                header.task_name(memory.task),
                memory.kind.name(),
                memory.source()
            )
        }
    }
}

fn json(args: &Args) -> Result<String, ExportError> {
    let mut out = String::from("{");
    for (i, (name, arg)) in args.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&quoted(name)?);
        out.push(':');
        match arg {
            Arg::Number(number) => out.push_str(&number.to_string()),
            Arg::Text(text) => out.push_str(&quoted(text)?),
        }
    }
    out.push('}');
    Ok(out)
}

impl<W: Write> Sink for Chrome<'_, W> {
    fn draw(&mut self, mark: Mark<'_>) -> Result<(), ExportError> {
        match mark {
            Mark::Begin { track, at, name, category, flow, args } => {
                let (line, name, args) = (Line::Host(track), quoted(name)?, json(&args)?);
                self.event(
                    "B",
                    line,
                    at,
                    format_args!(r#","name":{name},"cat":"{category}","args":{args}"#),
                )?;
                self.flow(line, at, flow)
            }
            Mark::End { track, at } => self.event("E", Line::Host(track), at, format_args!("")),
            Mark::Instant { track, at, name, category, flow, args } => {
                let (line, name, args) = (Line::Host(track), quoted(name)?, json(&args)?);
                // An arrow only holds on to slices; one without length does.
                let (phase, shape) = if flow.is_some() { ("X", r#","dur":0"#) } else { ("i", r#","s":"t""#) };
                self.event(
                    phase,
                    line,
                    at,
                    format_args!(r#"{shape},"name":{name},"cat":"{category}","args":{args}"#),
                )?;
                self.flow(line, at, flow)
            }
            Mark::Counter { memory, at, bytes } => {
                let line = Line::Host(Track::Memory(memory));
                let name = quoted(&track_name(self.header, Track::Memory(memory)))?;
                self.event("C", line, at, format_args!(r#","name":{name},"args":{{"bytes":{}}}"#, bytes.0))
            }
            Mark::Device { job, segment, from, length, name, args } => {
                let (line, name, args) = (Line::Queue(job.task), quoted(name)?, json(&args)?);
                let length = micros(length);
                self.event(
                    "X",
                    line,
                    from,
                    format_args!(r#","dur":{length},"name":{name},"cat":"segment {segment}","args":{args}"#),
                )
            }
        }
    }
}

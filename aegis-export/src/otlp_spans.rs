//! Jobs as OpenTelemetry spans, in OTLP's JSON encoding: a trace for each job, with a span for each cause of its time.
use crate::metrics::attribute;
use crate::{ExportError, JobLine, JobVerdict, job_lines};
use aegis_core::Nanos;
use aegis_trace::{Header, Jobs, Trace};
use serde_json::{Value, json};
use std::io::{self, Write};

/// `SPAN_KIND_INTERNAL`, `STATUS_CODE_OK` and `STATUS_CODE_ERROR` of the protocol.
const INTERNAL: u32 = 1;
const OK: u32 = 1;
const ERROR: u32 = 2;

/// Writes the body of an `ExportTraceServiceRequest`, for a collector's `/v1/traces`. Jobs whose arrival is not known are
/// left out; times of a simulation count from 1970.
///
/// # Errors
/// [`ExportError::Write`].
pub fn otlp_spans(trace: &Trace, mut sink: impl Write) -> Result<(), ExportError> {
    let header = trace.header();
    let resource = json!({ "attributes": [
        attribute("service.name", "aegisrt"), attribute("host.name", &header.host),
    ] });
    let scope = json!({ "name": header.program });
    write!(
        sink,
        "{{\"resourceSpans\":[{{\"resource\":{resource},\"scopeSpans\":[{{\"scope\":{scope},\"spans\":["
    )?;
    let jobs = Jobs::of(trace);
    let mut first = true;
    for line in job_lines(&jobs) {
        for span in spans(header, &line?) {
            sink.write_all(if std::mem::take(&mut first) { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut sink, &span).map_err(io::Error::from)?;
        }
    }
    sink.write_all(b"\n]}]}]}\n")?;
    Ok(sink.flush()?)
}

/// The job's span, then one inside it for each cause.
fn spans(header: &Header, line: &JobLine) -> Vec<Value> {
    let Some(explanation) = &line.explanation else { return Vec::new() };
    // The beginning of the run and the job: one number a job, whatever else is exported.
    let (began, job) = (header.created_unix_ns, line.id);
    let id = (u64::from(job.task.0) + 1) << 40 ^ job.seq;
    let trace = format!("{began:016x}{id:016x}");
    let unix = |at: Nanos| began.saturating_add(at.0).to_string();
    let span = |number: u64, name: String, from: Nanos, to: Nanos, attributes: Vec<Value>| {
        json!({
            "traceId": trace,
            "spanId": format!("{:016x}", id.rotate_left(16) ^ number),
            "name": name,
            "kind": INTERNAL,
            "startTimeUnixNano": unix(from),
            "endTimeUnixNano": unix(to),
            "attributes": attributes,
        })
    };
    let attributes = vec![
        attribute("aegisrt.model", &header.task_name(job.task).to_string()),
        attribute("aegisrt.verdict", line.verdict.name()),
        attribute("aegisrt.explanation", &header.narrate(explanation).to_string()),
    ];
    let name = header.job_name(job).to_string();
    let mut whole = span(0, name, explanation.arrival, explanation.until, attributes);
    whole["status"] = json!({ "code": if line.verdict == JobVerdict::Met { OK } else { ERROR } });
    let parent = whole["spanId"].clone();
    let mut spans = vec![whole];
    for (number, cause) in (1..).zip(&explanation.causes) {
        let by = cause.by.map(|by| attribute("aegisrt.by", &header.job_name(by).to_string()));
        let name = cause.kind.name().to_owned();
        let mut part = span(number, name, cause.from, cause.to, by.into_iter().collect());
        part["parentSpanId"] = parent.clone();
        spans.push(part);
    }
    spans
}

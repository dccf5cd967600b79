//! `aegis audit`: the chain of decisions behind every job.
use super::FAILED;
use super::trace::open;
use crate::Error;
use crate::cli::AuditArgs;
use crate::output::Output;
use aegis_trace::{Chain, Flaw, Link, Trace, audit};
use serde_json::{Value, json};
use std::fmt::Write;

/// Jobs with flaws that are named for people; JSON has all.
const SHOWN: usize = 20;

pub(crate) fn run(args: &AuditArgs, output: &Output) -> Result<u8, Error> {
    let trace = open(&args.trace)?;
    let chains = audit(&trace);
    let job = args.job.as_deref().map(|job| trace.header().parse_job(job)).transpose()?;
    let mut wanted: Vec<&Chain> =
        chains.iter().filter(|chain| job.is_none_or(|job| chain.job == job)).collect();
    if let Some(job) = job.filter(|_| wanted.is_empty()) {
        let name = trace.header().job_name(job);
        return Err(Error::Argument(format!("the trace says nothing of {name}")));
    }
    let all = wanted.len();
    let links: usize = wanted.iter().map(|chain| chain.links.len()).sum();
    if job.is_none() {
        wanted.retain(|chain| !chain.flaws.is_empty());
    }
    let flawed = wanted.iter().filter(|chain| !chain.flaws.is_empty()).count();
    output.answer(
        || {
            let mut out = String::new();
            for chain in wanted.iter().take(SHOWN) {
                out.push_str(&text(chain, &trace, job.is_some()));
            }
            if wanted.len() > SHOWN {
                let _ = writeln!(out, "... {} more", wanted.len() - SHOWN);
            }
            let verdict = match (all, flawed) {
                (0, _) => "no job in this trace".to_owned(),
                (_, 0) => format!("{all} jobs, {links} links: every chain of decisions is whole"),
                _ => format!("{flawed} of {all} jobs have a chain with a missing or misplaced link"),
            };
            out + &verdict
        },
        || {
            json!({
                "schema_version": 1,
                "jobs": all,
                "links": links,
                "flawed": flawed,
                "chains": wanted.iter().map(|chain| value(chain, &trace)).collect::<Vec<_>>(),
            })
        },
    );
    Ok(if flawed == 0 { 0 } else { FAILED })
}

fn text(chain: &Chain, trace: &Trace, with_links: bool) -> String {
    let header = trace.header();
    let mut out = format!("{}\n", header.job_name(chain.job));
    for (link, entry) in chain.links.iter().filter(|_| with_links) {
        let record = &trace.entries()[*entry].record;
        let _ = writeln!(out, "  {:<10} {}  {}", link.name(), header.time(record.at), header.say(record));
    }
    for flaw in &chain.flaws {
        let _ = writeln!(out, "  {}", sentence(*flaw));
    }
    out
}

fn sentence(flaw: Flaw) -> String {
    let named = |link: Link| match link.segment() {
        Some(segment) => format!("{} (segment {segment})", link.name()),
        None => link.name().to_owned(),
    };
    match flaw {
        Flaw::Missing(link) => format!("MISSING: {}", named(link)),
        Flaw::OutOfOrder(link) => format!("OUT OF ORDER: {}", named(link)),
    }
}

fn value(chain: &Chain, trace: &Trace) -> Value {
    let header = trace.header();
    let links = chain.links.iter().map(|(link, entry)| {
        let record = &trace.entries()[*entry].record;
        json!({
            "link": link.name(),
            "segment": link.segment(),
            "at_ns": record.at.0,
            "text": header.say(record).to_string(),
        })
    });
    json!({
        "job": header.job_name(chain.job).to_string(),
        "links": links.collect::<Vec<_>>(),
        "flaws": chain.flaws.iter().map(|flaw| sentence(*flaw)).collect::<Vec<_>>(),
    })
}

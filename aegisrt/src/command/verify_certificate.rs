//! `aegis verify-certificate`: does this file prove what it claims? The checker shares nothing with the analyses.
use super::NOT_ADMITTED;
use crate::Error;
use crate::cli::VerifyCertificateArgs;
use crate::diagnostic::{SourceError, read_text};
use crate::output::{Output, table};
use aegis_certificate::{Checked, Proved, check};
use aegis_core::Nanos;
use serde_json::{Value, json};

pub(crate) fn run(args: &VerifyCertificateArgs, output: &Output) -> Result<u8, Error> {
    let path = &args.certificate;
    let text = read_text(path, "certificate")?;
    let checked =
        check(&text).map_err(|why| SourceError::unplaced(path, format!("it proves nothing: {why}")))?;
    output.answer(|| in_words(&checked), || as_json(&checked));
    Ok(if checked.proved == Proved::Admitted { 0 } else { NOT_ADMITTED })
}

fn in_words(checked: &Checked) -> String {
    let rows = checked.tasks.iter().map(|task| {
        let response = task.response_ns.map_or_else(|| "-".to_owned(), |ns| Nanos(ns).to_string());
        vec![task.name.clone(), response, Nanos(task.deadline_ns).to_string()]
    });
    let policy = checked.policy;
    let headline = match &checked.proved {
        Proved::Admitted => format!("PROVED under {policy}: every job meets its deadline"),
        Proved::Overload { demand, time } => {
            format!(
                "PROVED under {policy}: the tasks ask for {demand}/{time} of the time, which is more than all of it"
            )
        }
        Proved::Miss { task, response_ns } => {
            let task = &checked.tasks[*task];
            let (response, deadline) = (Nanos(*response_ns), Nanos(task.deadline_ns));
            format!(
                "PROVED under {policy}: a job of {} takes {response}, its deadline is {deadline}",
                task.name
            )
        }
        other => format!("PROVED under {policy}: {other:?}"),
    };
    format!("{headline}\n{}", table(&["task", "response at most", "deadline"], "lrr", rows))
}

fn as_json(checked: &Checked) -> Value {
    let proved = match &checked.proved {
        Proved::Admitted => "admitted",
        Proved::Overload { .. } => "overload",
        _ => "miss",
    };
    let tasks: Vec<Value> = checked
        .tasks
        .iter()
        .map(|task| json!({ "name": task.name, "deadline_ns": task.deadline_ns, "response_ns": task.response_ns }))
        .collect();
    let mut value =
        json!({ "schema_version": 1, "policy": checked.policy, "proved": proved, "tasks": tasks });
    match &checked.proved {
        Proved::Overload { demand, time } => {
            value["demand"] = demand.to_string().into();
            value["time"] = time.to_string().into();
        }
        Proved::Miss { task, response_ns } => {
            value["missed"] = json!({ "name": checked.tasks[*task].name, "response_ns": response_ns });
        }
        _ => {}
    }
    value
}

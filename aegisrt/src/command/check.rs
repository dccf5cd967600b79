//! `aegis check`: is this system file right, and can its models be loaded?
use crate::backends::Backends;
use crate::cli::SystemArgs;
use crate::load::load;
use crate::output::{Output, table};
use crate::{Error, SystemFile};
use serde_json::{Value, json};

pub(crate) fn run(args: &SystemArgs, output: &Output) -> Result<u8, Error> {
    let file = SystemFile::open(&args.system)?.on(args.device.device);
    let loaded = load(&file, &mut Backends::default(), 1)?;
    output.answer(
        || {
            let rows = loaded.iter().zip(file.spec.tasks()).map(|(model, task)| {
                vec![
                    model.task.clone(),
                    model.runtime.clone(),
                    format!("{:#}", model.digest),
                    task.period.to_string(),
                    task.deadline.unwrap_or(task.period).to_string(),
                    format!("{:.1}", model.took),
                ]
            });
            let header = ["task", "runtime", "model", "period", "deadline", "loaded in"];
            format!("{} is valid, all models load\n{}", file.path.display(), table(&header, "lllrrr", rows))
        },
        || {
            let tasks: Vec<Value> = loaded
                .iter()
                .map(|m| json!({ "name": m.task, "runtime": m.runtime, "digest": m.digest.to_string() }))
                .collect();
            json!({ "schema_version": 1, "valid": true, "policy": file.spec.policy().name(), "tasks": tasks })
        },
    );
    Ok(0)
}

//! `aegis demo`: the whole job on five real models, from file to explanation.
use super::{init, profile, run};
use crate::admission;
use crate::backends::Backends;
use crate::cli::DemoArgs;
use crate::execute::RunOptions;
use crate::load::load;
use crate::measure::{Evidence, Wcet};
use crate::output::Output;
use crate::profiles::{host, same_host};
use crate::{Error, SystemFile, runtime, trace_path, zoo};
use aegis_analysis::remedy::remedies;
use aegis_core::{DeviceKind, Nanos};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Delays that a desktop system without real-time priorities may have; part of every bound.
const OVERHEADS: &str = "release = \"10 ms\"\ndispatch = \"5 ms\"\ncompletion = \"5 ms\"";
const OVERHEAD_PER_JOB: Nanos = Nanos::from_millis(10);

pub(crate) fn run(args: &DemoArgs, output: &Output) -> Result<u8, Error> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => cache_folder(),
    };
    let system = folder.join("system.toml");
    let on = On {
        kind: args.device.device.unwrap_or_default(),
        backend: args.backend.clone().unwrap_or_else(|| match args.device.device.unwrap_or_default() {
            DeviceKind::Cpu => "rten".to_owned(),
            DeviceKind::Cuda(_) => "ort".to_owned(),
        }),
    };
    output.line(format!(
        "AegisRT demo in {}\n\nMODELS, written by this program from fixed seeds",
        folder.display()
    ));
    init::models(&folder.join("models"))?;
    for model in &zoo::MODELS {
        output.line(format!("  {:<11} {}\n  {:<11} {}", model.name, model.about, "", zoo::size(model)));
    }

    // Rates cannot be chosen before it is known how long the models take here; profiling does not need them.
    let slow = Rates { base: Nanos::from_secs(60), brake_deadline: None };
    let file = parse(&system, &slow.text(&on))?;
    let host = host();
    let mut backends = Backends::default();
    let mut loaded = load(&file, &mut backends, args.seed)?;
    output.line("\nPROFILE: every model alone on the device, in turn with the others");
    let wcets = profile::wcets(&file, &mut backends, Some(&mut loaded), args.seed, output)?;
    let rows = file.spec.tasks().iter().zip(&wcets).filter_map(|(task, wcet)| match &wcet.evidence {
        Evidence::Measured(certificate) => Some(profile::row(&task.name, certificate)),
        Evidence::Stated => None,
    });
    output.line(profile::wcet_table(rows.collect()));
    let claim = file.spec.profile();
    output.line(format!(
        "  bound: with confidence {}, at most {} % of future jobs take longer; admission charges {} % more",
        claim.confidence,
        claim.exceedance * 100.0,
        claim.margin_percent
    ));

    let rates = Rates::for_this_machine(&wcets);
    output.line(format!("\nADMIT, at rates that suit this machine (shortest period {})", rates.base));
    let text = rates.text(&on);
    let file = parse(&system, &text)?;
    init::write(&system, &text)?;
    rejection(&rates, &on, &system, &wcets, output)?;
    let options = RunOptions {
        duration: args.duration,
        trace: &trace_path(&system),
        seed: args.seed,
        stop: &AtomicBool::new(false),
        key: None,
        part_bytes: None,
    };
    let ran = run::admitted_run(&file, loaded, &wcets, &options, output)?;
    same_host(&host)?;

    output.answer(
        || {
            format!(
                "\nTry next:\n  aegis explain {t} --worst 5\n  aegis trace query {t} --model planner --limit 20\n  \
                 aegis init my-system && aegis run my-system/system.toml",
                t = trace_path(&system).display()
            )
        },
        || {
            let mut value = ran.value();
            value["system"] = system.display().to_string().into();
            value
        },
    );
    Ok(ran.exit_code())
}

/// Shows that one task more is rejected, and why.
fn rejection(
    rates: &Rates,
    on: &On,
    system: &std::path::Path,
    wcets: &[Wcet],
    output: &Output,
) -> Result<(), Error> {
    let longest = wcets.iter().map(|w| w.charged).max().unwrap_or_default();
    let more = Rates {
        brake_deadline: Some(Nanos(longest.0 / 2_000_000 * 1_000_000).max(Nanos::from_millis(1))),
        ..*rates
    };
    let file = parse(system, &more.text(on))?;
    let mut wcets = wcets.to_vec();
    // The brake runs the planner's model.
    wcets.extend(wcets.last().cloned());
    let set = runtime::task_set(&file, &wcets)?;
    let verdict = aegis_analysis::admit(&set);
    let remedies = remedies(&set, &verdict);
    output.line(
        "With one task too many, a brake monitor whose deadline is shorter than the longest model runs:",
    );
    output.line(format!(
        "{}{}",
        admission::headline(&verdict),
        admission::reasons(&set, &verdict, &remedies)
    ));
    if verdict.admitted() {
        return Err(Error::Defect("a deadline below the blocking was admitted".to_owned()));
    }
    output.line("\nWithout it:");
    Ok(())
}

/// No period is shorter, however fast the models are: a busy desktop may stop a program for a tenth of a second.
const SHORTEST: Nanos = Nanos::from_millis(300);

/// What executes the models.
#[derive(Debug, Clone)]
struct On {
    kind: DeviceKind,
    backend: String,
}

#[derive(Debug, Clone, Copy)]
struct Rates {
    base: Nanos,
    brake_deadline: Option<Nanos>,
}

impl Rates {
    /// The shortest period is a quarter longer than one job of every model takes, so that all of them fit even in the
    /// worst order.
    fn for_this_machine(wcets: &[Wcet]) -> Self {
        let all: Nanos = wcets.iter().map(|w| w.charged + OVERHEAD_PER_JOB).sum();
        let tens = (all.0 / 4 * 5).div_ceil(10_000_000) + 2;
        Self { base: Nanos::from_millis(tens * 10).max(SHORTEST), brake_deadline: None }
    }

    fn text(&self, on: &On) -> String {
        let On { kind, backend } = on;
        let mut text = format!(
            "# Written by `aegis demo`, with rates chosen for this machine. Change it and try `aegis run` on it.\n\n\
             [device]\nthreads = 1\nkind = \"{kind}\"\n\n[policy]\nkind = \"edf\"\n\n\
             # What a desktop system without real-time priorities may add; part of every bound.\n\
             [overhead]\n{OVERHEADS}\n\n\
             [profile]\nexceedance = 0.02\nconfidence = 0.95\nmargin_percent = 25\n"
        );
        for (i, model) in zoo::MODELS.iter().enumerate() {
            let slow = matches!(model.name, "classifier" | "segmenter");
            let period = if slow { self.base * 2 } else { self.base };
            // The slow ones first: the others then arrive while they run and show what blocking is.
            let offset = if slow { Nanos::ZERO } else { Nanos::from_millis(i as u64 + 1) };
            let _ = write!(
                text,
                "\n[[task]]\nname = \"{}\"\nmodel = \"models/{}\"\nbackend = \"{backend}\"\nperiod = \"{period}\"\n\
                 offset = \"{offset}\"\n",
                model.name, model.file
            );
        }
        if let Some(deadline) = self.brake_deadline {
            let _ = write!(
                text,
                "\n[[task]]\nname = \"brake\"\nmodel = \"models/planner.onnx\"\nbackend = \"{backend}\"\n\
                 period = \"{}\"\ndeadline = \"{deadline}\"\n",
                self.base
            );
        }
        text
    }
}

fn parse(path: &std::path::Path, text: &str) -> Result<SystemFile, Error> {
    Ok(SystemFile::parse(path, text.to_owned())?)
}

fn cache_folder() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("aegisrt").join("demo")
}

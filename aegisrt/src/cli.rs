//! The command line: what can be asked, and the help that teaches it.
mod trace;

use crate::output::{Format, Output};
use crate::{Error, command};
use aegis_core::{Bytes, DeviceKind, Nanos, Policy};
use aegis_sched::dispatcher::WORKER;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
pub(crate) use trace::{ExportArgs, MetricsArgs, QueryArgs};

/// Runs many models on one device, predictably: proves that they fit, plans their memory, runs them one at a time,
/// and explains every slow job.
///
/// Start with `aegis demo`, then `aegis init my-system` and `aegis run my-system/system.toml`.
#[derive(Debug, Parser)]
#[command(name = "aegis", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    /// How answers are printed; JSON carries `schema_version`
    #[arg(
        long, value_parser = Format::one_of(&[Format::Text, Format::Json]), default_value = "text", global = true
    )]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 ok, 1 the run failed, 2 bad input, 3 not admitted or a deadline was missed.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole job on five real models, from file to explanation (about a minute)
    Demo(DemoArgs),
    /// Writes a system file and five models to start from
    Init(InitArgs),
    /// Checks a system file and loads its models; errors point at the line
    Check(SystemArgs),
    /// Shows what a model file needs: inputs, outputs, weights, scratch
    Inspect(InspectArgs),
    /// Measures the WCET of every model, or certifies given samples
    Profile(ProfileArgs),
    /// Proves that every deadline is met, or says which one is not and why
    Admit(AdmitArgs),
    /// Checks the proof that `admit --certificate` wrote, without the analyses that made it
    VerifyCertificate(VerifyCertificateArgs),
    /// Plans the memory of all models together, or places given buffers
    Plan(PlanArgs),
    /// Runs a system: load, profile, admit, plan, run, report
    Run(RunArgs),
    /// Runs the scheduler in virtual time, admitted or not
    Simulate(SimulateArgs),
    /// Says where the time of a job went
    Explain(ExplainArgs),
    /// Says for each model which other model cost it how much, and what would change that
    Blame(BlameArgs),
    /// Rebuilds the chain of decisions behind every job, from loading to its end, and fails if a link is missing
    Audit(AuditArgs),
    /// Steps the scheduler through a trace again and compares every decision
    Replay(ReplayArgs),
    /// Lists what a trace says
    Trace(TraceArgs),
    /// Says that a TensorRT plan is the one that was built: only then is it loaded
    Trust(TrustArgs),
    /// Shows what this machine can do, and what cannot be used on it and why
    Doctor,
}

/// On which device.
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// Another device than the system file names: cpu, cuda, or cuda:1 for the second
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceKind>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where models, system file and trace are kept [default: the user's cache folder]
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// How long the system runs
    #[arg(long, default_value = "10 s", allow_hyphen_values = true)]
    pub duration: Nanos,
    /// Backend that executes the models [default: rten on the CPU, ort on a CUDA device]
    #[arg(long)]
    pub backend: Option<String>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Folder to write into; made if absent
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SystemArgs {
    /// The system file
    pub system: PathBuf,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The model file
    pub model: PathBuf,
    /// Backend that loads it
    #[arg(long, default_value = "rten")]
    pub backend: String,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// The plan; its BLAKE3 digest is written beside it, as PLAN.blake3
    pub plan: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// The system file whose models are measured
    #[arg(required_unless_present = "samples", conflicts_with = "samples")]
    pub system: Option<PathBuf>,
    /// Execution times to certify instead: a file with one time in ns per line
    #[arg(long, value_name = "FILE")]
    pub samples: Option<PathBuf>,
    /// At most this fraction of jobs may exceed the bound [default: 0.0001 for --samples, else the system file's]
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pub exceedance: Option<f64>,
    /// Confidence of that claim [default: 0.95 for --samples, else the system file's]
    #[arg(long, value_name = "C", allow_hyphen_values = true)]
    pub confidence: Option<f64>,
    /// Seed of the order in which models are measured
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PolicyArg {
    #[value(alias = "edf")]
    NpEdf,
    #[value(aliases = ["fixed-priority", "dm", "rm"])]
    NpFp,
    #[value(alias = "np-fifo")]
    Fifo,
}

impl From<PolicyArg> for Policy {
    fn from(policy: PolicyArg) -> Self {
        match policy {
            PolicyArg::NpEdf => Self::Edf,
            PolicyArg::NpFp => Self::FixedPriority,
            PolicyArg::Fifo => Self::Fifo,
        }
    }
}

/// A system file or a task set without models.
#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    /// The system file; models without a stated `wcet` are measured first, once
    #[arg(conflicts_with = "tasks")]
    pub system: Option<PathBuf>,
    /// Tasks without models instead: JSON {"policy": "np-edf|np-fp|fifo", "tasks": [{"name", "c_ns", "t_ns", "d_ns"}]},
    /// with everything that schema/tasks.schema.json documents; or YAML in the shape of POET
    #[arg(long, value_name = "FILE")]
    pub tasks: Option<PathBuf>,
    /// Another policy than the file's
    #[arg(long, value_enum)]
    pub policy: Option<PolicyArg>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AdmitArgs {
    #[command(flatten)]
    pub tasks: TasksArgs,
    /// Seeks how far each WCET, period, deadline and jitter may move before the answer changes
    #[arg(long)]
    pub margins: bool,
    /// Which partition the pictures and the certificate are of [default: the first]
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// Draws demand against time: what EDF must serve in every window, and where that is too much
    #[arg(long, value_name = "FILE")]
    pub svg_demand: Option<PathBuf>,
    /// Draws the schedule in which the task with the least slack responds as late as it can: the witness of a miss
    #[arg(long, value_name = "FILE")]
    pub svg_schedule: Option<PathBuf>,
    /// Writes the proof of the answer, for `aegis verify-certificate`
    #[arg(long, value_name = "OUT")]
    pub certificate: Option<PathBuf>,
    #[command(flatten)]
    pub table: TableArgs,
    #[command(flatten)]
    pub jobs: JobsArgs,
}

/// When the output of a job is there for others.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OutputAt {
    /// When its window and its execution are over
    End,
    /// At its deadline, however early it ends: logical execution time (LET)
    #[value(alias = "let")]
    Deadline,
}

/// A time table instead of a policy.
#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    /// Seeks a time table instead: a window for the start of every job. There may be one where every policy misses a
    /// deadline. Tasks are periodic from stated offsets; the table repeats
    #[arg(long, conflicts_with_all = ["margins", "svg_demand", "svg_schedule", "certificate", "completions"])]
    pub table: bool,
    /// When the output of a job is there for those that wait for it [default: end]
    #[arg(long, value_enum, value_name = "WHEN", requires = "table")]
    pub output_at: Option<OutputAt>,
    /// Also writes the table as CSV
    #[arg(long, value_name = "FILE", requires = "table")]
    pub table_csv: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyCertificateArgs {
    /// The certificate
    pub certificate: PathBuf,
}

/// A job set instead of tasks.
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// Jobs instead of tasks: CSV in the shape of SAG, `task, job, release min, max, cost min, max, deadline, priority`,
    /// times in ns. Says when each job ends at the earliest and at the latest, over every schedule
    #[arg(long, value_name = "FILE", conflicts_with_all = ["system", "tasks", "policy"])]
    pub jobs: Option<PathBuf>,
    /// Which job waits for which: CSV `from task, job, to task, job[, delay min, max]`
    #[arg(long, value_name = "FILE", requires = "jobs")]
    pub prec: Option<PathBuf>,
    /// Also writes the completion times, as CSV in the shape of SAG
    #[arg(long, value_name = "FILE", requires = "jobs")]
    pub completions: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The system file whose models are planned
    #[arg(required_unless_present = "buffers", conflicts_with = "buffers")]
    pub system: Option<PathBuf>,
    /// Buffers to place instead: CSV `id,lower,upper,size[,alignment][,gaps]`, lifetimes half-open
    #[arg(long, value_name = "FILE")]
    pub buffers: Option<PathBuf>,
    /// What may be used at most: bytes, or a quantity such as "8 MiB"
    #[arg(
        long, value_parser = bytes_or_number, requires = "buffers", conflicts_with = "system", allow_hyphen_values = true
    )]
    pub capacity: Option<Bytes>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

fn bytes_or_number(text: &str) -> Result<Bytes, String> {
    match text.parse::<u64>() {
        Ok(bytes) => Ok(Bytes(bytes)),
        Err(_) => text.parse::<Bytes>().map_err(|error| error.to_string()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The system file
    pub system: PathBuf,
    /// How long jobs are released; what was released is finished
    #[arg(long, default_value = "5 s", allow_hyphen_values = true)]
    pub duration: Nanos,
    /// Where the trace is written [default: beside the system file]
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Signs the trace with this private Ed25519 key, as `openssl genpkey -algorithm ed25519` writes it
    #[arg(long, value_name = "KEY.pem")]
    pub trace_key: Option<PathBuf>,
    /// Ends a file of the trace at about this size and goes on in the next one beside it: bytes, or "64 MiB"
    /// [default: one file]
    #[arg(long, value_name = "BYTES", value_parser = part_size)]
    pub trace_size: Option<Bytes>,
    /// Also writes the run's metrics, as OpenMetrics text
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub device: DeviceArgs,
}

fn part_size(text: &str) -> Result<Bytes, String> {
    let size = bytes_or_number(text)?;
    const LEAST: Bytes = Bytes(1 << 16);
    if size < LEAST { Err(format!("a file of less than {LEAST} is too small")) } else { Ok(size) }
}

#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub(crate) enum ExecutionArg {
    /// Every segment takes its WCET
    Wcet,
    /// Half of the segments end early, at random
    Random,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub tasks: TasksArgs,
    /// How long jobs are released, in virtual time
    #[arg(long, default_value = "10 s", allow_hyphen_values = true)]
    pub duration: Nanos,
    /// First arrival of a task, as in `lidar=1ms`; may be repeated [default: the file's offset, else 0]
    #[arg(long, value_name = "TASK=TIME", value_parser = offset)]
    pub offset: Vec<(String, Nanos)>,
    /// How long segments take
    #[arg(long, value_enum, default_value_t = ExecutionArg::Wcet)]
    pub execution: ExecutionArg,
    /// Release so many jobs in the patterns that hurt most, instead of periodically
    #[arg(long, value_name = "JOBS", conflicts_with_all = ["offset", "duration"])]
    pub adversarial: Option<u64>,
    /// Writes the decisions as a trace for explain, replay and trace
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

fn offset(text: &str) -> Result<(String, Nanos), String> {
    let (task, time) = text.split_once('=').ok_or("write TASK=TIME, as in lidar=1ms")?;
    Ok((task.to_owned(), time.parse().map_err(|error: aegis_core::QuantityError| error.to_string())?))
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The trace
    pub trace: PathBuf,
    /// The job, as in camera#118 [default: the jobs that came closest to their deadline]
    pub job: Option<String>,
    /// How many jobs, worst first
    #[arg(long, default_value_t = 3, value_name = "K")]
    pub worst: usize,
    #[command(flatten)]
    pub window: WindowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WindowArgs {
    /// From this instant on: UTC as in 14:23:45.1, or time since the trace began as in "1.5 s"
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this instant
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BlameArgs {
    /// The trace
    pub trace: PathBuf,
    #[command(flatten)]
    pub window: WindowArgs,
    /// Draws the matrix: a row for each model that waited, a column for each that made it wait
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The trace
    pub trace: PathBuf,
    /// Only this job, as in camera#118, with every link of its chain
    #[arg(long)]
    pub job: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The trace
    pub trace: PathBuf,
    /// What would another policy have done with these arrivals and execution times?
    #[arg(long, value_enum, conflicts_with = "against")]
    pub policy: Option<PolicyArg>,
    /// Another trace: where do the two part, and in which states?
    #[arg(long, value_name = "OTHER")]
    pub against: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    #[command(subcommand)]
    pub command: TraceCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// Who recorded what, when, under which conditions, and whether anything is missing
    Info {
        /// The trace
        trace: PathBuf,
    },
    /// Checks that a trace is whole and unchanged, with a checker of its own; signatures with --key
    Verify {
        /// The trace
        trace: PathBuf,
        /// The public key of whoever recorded it, as `openssl pkey -in KEY.pem -pubout` writes it
        #[arg(long, value_name = "PUBLIC.pem")]
        key: Option<PathBuf>,
    },
    /// The records or jobs of a model, a time, a kind, or that ended so
    Query(QueryArgs),
    /// Writes the trace for other tools: Perfetto, Chrome, tables, OpenTelemetry
    Export(ExportArgs),
    /// Counts, sums and histograms of the trace, for Prometheus or OpenTelemetry
    Metrics(MetricsArgs),
}

/// Whether a command line that cannot be parsed asks for JSON all the same.
fn asks_for_json(args: impl Iterator<Item = OsString>) -> bool {
    let args: Vec<OsString> = args.collect();
    args.iter().any(|arg| arg == "--format=json")
        || args.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// Parses the command line, does what it says and returns the exit code.
#[must_use]
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; everything else is bad input.
            if error.use_stderr() && asks_for_json(std::env::args_os()) {
                let text = error.to_string();
                let text = text.trim().trim_start_matches("error: ").to_owned();
                return Output::new(Format::Json).error(&Error::Argument(text));
            }
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let output = Output::new(cli.format);
    name_backend_panics();
    let result = match &cli.command {
        Command::Demo(args) => command::demo::run(args, &output),
        Command::Init(args) => command::init::run(args, &output),
        Command::Check(args) => command::check::run(args, &output),
        Command::Inspect(args) => command::inspect::run(args, &output),
        Command::Profile(args) => command::profile::run(args, &output),
        Command::Admit(args) => command::admit::run(args, &output),
        Command::VerifyCertificate(args) => command::verify_certificate::run(args, &output),
        Command::Plan(args) => command::plan::run(args, &output),
        Command::Run(args) => command::run::run(args, &output),
        Command::Simulate(args) => command::simulate::run(args, &output),
        Command::Explain(args) => command::explain::run(args, &output),
        Command::Blame(args) => command::blame::run(args, &output),
        Command::Audit(args) => command::audit::run(args, &output),
        Command::Replay(args) => command::replay::run(args, &output),
        Command::Trace(args) => command::trace::run(args, &output),
        Command::Trust(args) => command::trust::run(args, &output),
        Command::Doctor => Ok(command::doctor::run(&output)),
    };
    result.unwrap_or_else(|error| output.error(&error))
}

/// A panic of a backend is caught on the worker thread and recorded as a fault of its job; a line on standard error is
/// enough. Every other panic is a defect of ours and keeps its full report.
fn name_backend_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some(WORKER) {
            let what = panic.payload_as_str().unwrap_or("it gave no message");
            let _ = writeln!(std::io::stderr(), "a backend panicked, its job is void: {what}");
        } else {
            report(panic);
        }
    }));
}

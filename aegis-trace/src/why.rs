//! Suspects, and a response beside its bound, in words.
use crate::{Against, Header, Root, Share, Suspect};
use aegis_core::{Nanos, TermKind};
use std::fmt::{self, Formatter};

impl Header {
    /// A suspect as one sentence without its full stop: `lidar#61 ran 65.000 ms, 20.000 ms over its WCET of 45.000 ms`.
    #[must_use]
    pub fn suspect<'a>(&'a self, suspect: &'a Suspect) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            self.what(f, suspect)?;
            if suspect.times > 1 {
                write!(f, ", and {} more like it: {:.3} in all", suspect.times - 1, suspect.ns)?;
            }
            Ok(())
        })
    }

    fn what(&self, f: &mut Formatter<'_>, suspect: &Suspect) -> fmt::Result {
        let Suspect { what, by, expected, seen, ns, broken, .. } = *suspect;
        let who = fmt::from_fn(|f| match by {
            Some(job) => write!(f, "{}", self.job_name(job)),
            None => write!(f, "the trace"),
        });
        let over = seen.saturating_sub(expected);
        if !broken {
            let what = match what {
                Root::Blocking => "it was blocked by",
                Root::Interference => "it waited behind",
                Root::EarlierJobs => "it waited behind its own",
                Root::LateRelease => "late release took",
                Root::Dispatch => "dispatch took",
                Root::Completion => "completion took",
                Root::Copy => "copies took",
                Root::Recovery => "recovery took",
                Root::Recording => "recording took",
                Root::Contention => "others had the processor",
                Root::SlowClock => "a lower clock cost",
                _ => "it ran",
            };
            write!(f, "{what} ")?;
            if matches!(what, "it was blocked by" | "it waited behind" | "it waited behind its own") {
                write!(f, "{who} for ")?;
            }
            return write!(f, "{seen:.3}, its task's usual is {expected:.3}");
        }
        match what {
            Root::QueueFull => {
                write!(f, "its queue of {} was full", expected.0)
            }
            Root::LostRecords => write!(f, "records are missing: nothing is known of {ns:.3}"),
            Root::Policy => {
                write!(f, "the scheduler did not keep its policy: no rule explains {ns:.3}")
            }
            Root::Overrun => write!(f, "{who} ran {seen:.3}, {over:.3} over its WCET of {expected:.3}"),
            Root::Contention => {
                write!(f, "{who} ran over its WCET, because others had the processor for {seen:.3}")
            }
            Root::SlowClock => write!(f, "{who} ran over its WCET, and lost {seen:.3} to a lower clock"),
            Root::Copy => write!(
                f,
                "{who} ran over its WCET, because its copies took {seen:.3} instead of {expected:.3}"
            ),
            Root::Burst => write!(
                f,
                "{who} arrived {:.3} before its arrival law allows, and took {ns:.3}",
                expected.saturating_sub(seen)
            ),
            Root::LateRelease => {
                write!(
                    f,
                    "{who} was told to the scheduler {seen:.3} after it arrived, its jitter allows {expected:.3}"
                )
            }
            Root::Dispatch => {
                write!(f, "{who} was started {seen:.3} after its choice, declared are {expected:.3}")
            }
            Root::Completion => {
                write!(
                    f,
                    "the scheduler was told {seen:.3} after the end of {who}, declared are {expected:.3}"
                )
            }
            Root::Recovery => {
                write!(
                    f,
                    "the model of {who} was brought back for {seen:.3} after its fault, declared are {expected:.3}"
                )
            }
            other => write!(f, "{who}: {} {seen:.3} instead of {expected:.3}", other.name()),
        }
    }

    /// A response beside its bound, in one line: `of its bound 72.400 ms: blocking 45.200 of 44.900 ms ABOVE, …`. Terms that
    /// are zero on both sides are left out.
    #[must_use]
    pub fn beside_bound<'a>(&'a self, against: &'a Against) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            let (response, wcrt) = (against.response, against.wcrt);
            if against.above() > Nanos::ZERO {
                write!(f, "{:.3} ABOVE its bound {wcrt:.3}: ", against.above())?;
            } else {
                write!(f, "{response:.3} of its bound {wcrt:.3}: ")?;
            }
            let shown = against.shares.iter().filter(|s| s.allowed_ns != 0 || s.used > Nanos::ZERO);
            for (i, share) in shown.enumerate() {
                let separator = if i == 0 { "" } else { " · " };
                write!(f, "{separator}{}", self.share(share))?;
            }
            if against.unexplained > Nanos::ZERO {
                write!(f, " · unexplained {:.3}", against.unexplained)?;
            }
            Ok(())
        })
    }

    fn share<'a>(&'a self, share: &'a Share) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            write!(f, "{}", share.kind.name().replace('_', " "))?;
            if let Some(by) = share.by {
                write!(f, " by {}", self.task_name(by))?;
            }
            let allowed = Nanos(share.allowed_ns.unsigned_abs());
            if share.kind == TermKind::ArrivedLater {
                return write!(f, " -{allowed:.3}");
            }
            write!(f, " {:.3} of {allowed:.3}", share.used)?;
            if share.above() > Nanos::ZERO { write!(f, " ABOVE") } else { Ok(()) }
        })
    }
}

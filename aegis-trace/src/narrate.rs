//! An explanation as one line for people. Shown parts sum to the shown response; exact times are in the explanation.
use crate::{Cause, CauseKind, ClockLimits, Direction, Ending, Explanation, Header, Rule};
use aegis_core::{JobId, Nanos};
use std::fmt::{self, Formatter};

impl Header {
    /// The explanation in one line:
    ///
    /// `camera#118 released 14:23:45.123 (deadline .200) · blocked 45.2 ms by lidar#61 (non-preemptive, started .121) ·
    /// ran 25.0 ms · dispatch 1.5 ms · completion 0.7 ms · finished .195, response 72.4 ms, slack 4.6 ms`
    ///
    /// Times are shown with the digits that the length of the response calls for. The response and a lateness are
    /// rounded up, a slack is rounded down, and the parts are rounded so that they sum to the response as it is shown;
    /// a part that comes out as nothing is left out.
    #[must_use]
    pub fn narrate<'a>(&'a self, explanation: &'a Explanation) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| Line::new(self, explanation).write(f))
    }
}

/// How times of one line are shown: `digits` behind the point, in `unit`s of `unit_ns`.
#[derive(Debug, Clone, Copy)]
struct Scale {
    unit: &'static str,
    unit_ns: u64,
    digits: u32,
}

impl Scale {
    /// At least three significant digits of `longest`.
    const fn of(longest: Nanos) -> Self {
        let (unit, unit_ns, digits) = match longest.0 {
            ..1_000 => ("ns", 1, 0),
            1_000..10_000 => ("us", 1_000, 2),
            10_000..1_000_000 => ("us", 1_000, 1),
            1_000_000..10_000_000 => ("ms", 1_000_000, 2),
            10_000_000..10_000_000_000 => ("ms", 1_000_000, 1),
            _ => ("s", 1_000_000_000, 3),
        };
        Self { unit, unit_ns, digits }
    }

    const fn step(self) -> u64 {
        self.unit_ns / 10u64.pow(self.digits)
    }

    fn show(self, steps: u64) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let per_unit = 10u64.pow(self.digits);
            write!(f, "{}", steps / per_unit)?;
            if self.digits > 0 {
                write!(f, ".{:0width$}", steps % per_unit, width = self.digits as usize)?;
            }
            write!(f, " {}", self.unit)
        })
    }

    fn up(self, time: Nanos) -> impl fmt::Display {
        self.show(time.0.div_ceil(self.step()))
    }

    fn down(self, time: Nanos) -> impl fmt::Display {
        self.show(time.0 / self.step())
    }
}

struct Line<'a> {
    header: &'a Header,
    explained: &'a Explanation,
    scale: Scale,
    digits: usize,
}

impl<'a> Line<'a> {
    fn new(header: &'a Header, explained: &'a Explanation) -> Self {
        let response = explained.response();
        let digits = if response < Nanos::from_millis(10) && !explained.causes.is_empty() { 6 } else { 3 };
        Self { header, explained, scale: Scale::of(response), digits }
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let e = self.explained;
        let verb = if e.release == Some(e.arrival) { "released" } else { "arrived" };
        let (digits, arrival) = (self.digits, self.header.time(e.arrival));
        write!(f, "{} {verb} {arrival:.digits$}", self.header.job_name(e.job))?;
        if e.deadline < Nanos::MAX {
            write!(f, " (deadline {})", self.at(e.deadline))?;
        }
        for (cause, steps) in self.parts() {
            self.part(f, &cause, steps)?;
        }
        let (response, at) = (self.scale.up(e.response()), self.at(e.until));
        match e.ending {
            Ending::Met => {
                write!(f, " · finished {at}, response {response}, slack {}", self.scale.down(self.slack()))
            }
            Ending::Missed => {
                write!(f, " · finished {at}, response {response}, late by {}", self.scale.up(self.late()))
            }
            Ending::Faulted => {
                write!(f, " · faulted {at} after {response}, its result is void")?;
                e.fault.map_or(Ok(()), |fault| write!(f, ": {fault}"))
            }
            Ending::Refused(why) => {
                write!(f, " · refused {at}: {}", self.header.reason(why))?;
                self.ahead(f)
            }
            Ending::Unknown => {
                write!(
                    f,
                    " · last seen {at}, {response} after it arrived; the records of its end are missing"
                )
            }
            Ending::Unfinished { running } => {
                let state = if running { "running" } else { "waiting" };
                write!(f, " · still {state} {at} when the trace ends, {response} after it arrived")?;
                if self.late() > Nanos::ZERO {
                    write!(f, " and {} after its deadline", self.scale.up(self.late()))?;
                }
                Ok(())
            }
        }
    }

    fn slack(&self) -> Nanos {
        self.explained.deadline.saturating_sub(self.explained.until)
    }

    fn late(&self) -> Nanos {
        self.explained.until.saturating_sub(self.explained.deadline)
    }

    fn at(&self, instant: Nanos) -> impl fmt::Display {
        let (instant, arrival) = (self.header.time(instant), self.header.time(self.explained.arrival));
        let digits = self.digits;
        fmt::from_fn(move |f| write!(f, "{:.digits$}", instant.beside(arrival)))
    }

    fn ahead(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, job) in self.explained.ahead.iter().enumerate() {
            let before = if i == 0 { " (" } else { ", " };
            write!(f, "{before}{}", self.header.job_name(*job))?;
        }
        if self.explained.ahead.is_empty() { Ok(()) } else { write!(f, ")") }
    }

    /// One part for each thing that people tell apart, in the order in which they began; small delays that return
    /// everywhere go last. Each with its length in steps of the scale: rounded down, then the steps that are missing
    /// to the response go to the largest remainders.
    fn parts(&self) -> Vec<(Cause, u64)> {
        let mut parts: Vec<Cause> = Vec::new();
        for cause in &self.explained.causes {
            match parts.iter_mut().find(|part| same(part, cause)) {
                Some(part) => part.ns += cause.ns,
                None => parts.push(*cause),
            }
        }
        parts.sort_by_key(|part| match part.kind {
            CauseKind::Dispatch => 1,
            CauseKind::Completion => 2,
            CauseKind::Recording { .. } => 3,
            CauseKind::Unexplained => 4,
            _ => 0,
        });
        let step = self.scale.step();
        let mut steps: Vec<u64> = parts.iter().map(|part| part.ns.0 / step).collect();
        let missing = self.explained.response().0.div_ceil(step) - steps.iter().sum::<u64>();
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(parts[i].ns.0 % step), i));
        for i in order.into_iter().take(usize::try_from(missing).unwrap_or(usize::MAX)) {
            steps[i] += 1;
        }
        parts.into_iter().zip(steps).filter(|(_, steps)| *steps > 0).collect()
    }

    fn part(&self, f: &mut Formatter<'_>, cause: &Cause, steps: u64) -> fmt::Result {
        let length = self.scale.show(steps);
        let by = |job: Option<JobId>| {
            fmt::from_fn(move |f| job.map_or(Ok(()), |job| write!(f, "{}", self.header.job_name(job))))
        };
        let by = by(cause.by);
        let several = self
            .explained
            .causes
            .iter()
            .any(|other| segment_of(other.kind).zip(segment_of(cause.kind)).is_some_and(|(a, b)| a != b));
        let of = |segment: u16| {
            fmt::from_fn(move |f| if several { write!(f, " (segment {segment})") } else { Ok(()) })
        };
        write!(f, " · ")?;
        match cause.kind {
            CauseKind::LateRelease => write!(f, "released {length} late"),
            CauseKind::Blocked { since } => {
                write!(f, "blocked {length} by {by} (non-preemptive, started {})", self.at(since))
            }
            CauseKind::Behind { rule } => {
                write!(f, "waited {length} behind {by} (")?;
                match rule {
                    Rule::EarlierDeadline { deadline } => {
                        write!(f, "earlier deadline {})", self.at(deadline))
                    }
                    Rule::HigherPriority { priority } => write!(f, "higher priority {})", priority.0),
                    Rule::ReleasedFirst { release } => write!(f, "released first, {})", self.at(release)),
                }
            }
            CauseKind::BehindOwn => write!(f, "waited {length} behind its own {by}"),
            CauseKind::Dispatch => write!(f, "dispatch {length}"),
            CauseKind::Completion => write!(f, "completion {length}"),
            CauseKind::Copy { segment, direction: Direction::In } => {
                write!(f, "copied its inputs {length}{}", of(segment))
            }
            CauseKind::Copy { segment, direction: Direction::Out } => {
                write!(f, "copied its outputs {length}{}", of(segment))
            }
            CauseKind::Ran { segment } => write!(f, "ran {length}{}", of(segment)),
            CauseKind::RanOver { segment, wcet } => {
                write!(f, "ran {length} over its WCET of {wcet}{}", of(segment))
            }
            CauseKind::Contended { segment } => {
                write!(f, "others had the processor {length}{}", of(segment))
            }
            CauseKind::SlowClock { segment, from_khz, to_khz, limits } => {
                let (from, to) = (from_khz / 1000, to_khz / 1000);
                let why = limited_by(limits);
                write!(f, "lost {length} to a lower clock ({to} MHz, {from} before{why}){}", of(segment))
            }
            CauseKind::Recovery => write!(f, "recovered {length} from its fault"),
            CauseKind::Recording { .. } => write!(f, "recording {length}"),
            CauseKind::Unexplained => write!(f, "unexplained {length}"),
        }
    }
}

/// Which segment of its job a cause belongs to.
const fn segment_of(kind: CauseKind) -> Option<u16> {
    match kind {
        CauseKind::Ran { segment }
        | CauseKind::RanOver { segment, .. }
        | CauseKind::Contended { segment }
        | CauseKind::SlowClock { segment, .. }
        | CauseKind::Copy { segment, .. } => Some(segment),
        _ => None,
    }
}

/// What keeps a clock low, to follow a comma or a colon; nothing where the device gives no reason.
pub(crate) const fn limited_by(limits: ClockLimits) -> &'static str {
    match (limits.power, limits.heat) {
        (true, true) => ", limited by power and heat",
        (true, false) => ", limited by power",
        (false, true) => ", limited by heat",
        (false, false) => "",
    }
}

/// Whether two causes are one part of the line.
fn same(a: &Cause, b: &Cause) -> bool {
    match (a.kind, b.kind) {
        (CauseKind::Unexplained, CauseKind::Unexplained)
        | (CauseKind::Recording { .. }, CauseKind::Recording { .. }) => true,
        _ => a.kind == b.kind && a.by == b.by,
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Scale};
    use crate::tests::{TaskOf, header, job};
    use crate::{Cause, CauseKind, Ending, Explanation};
    use aegis_core::{Nanos, Policy, Rng};

    /// What is shown sums to what is shown, and nothing is shown further than one digit from what it is.
    #[test]
    fn shown_parts_sum_to_the_shown_response() {
        let header = header(Policy::Edf, 1, &[TaskOf("camera", &[25], 77, 0)]);
        for seed in 0..5000 {
            let mut rng = Rng::new(seed);
            let arrival = rng.between(0, 1 << 40);
            let longest = 1 << rng.between(1, 36);
            let mut at = arrival;
            let causes: Vec<Cause> = (0..rng.between(0, 9))
                .map(|i| {
                    let (from, ns) = (at, rng.between(1, longest));
                    at += ns;
                    let by = Some(job(0, rng.between(0, 3)));
                    let (kind, by) = match i % 3 {
                        0 => (CauseKind::BehindOwn, by),
                        1 => (CauseKind::Dispatch, None),
                        _ => (CauseKind::Unexplained, by),
                    };
                    Cause { kind, by, ns: Nanos(ns), from: Nanos(from), to: Nanos(at) }
                })
                .collect();
            let explanation = Explanation {
                job: job(0, 9),
                arrival: Nanos(arrival),
                release: Some(Nanos(arrival)),
                deadline: Nanos(at + 3),
                until: Nanos(at),
                ending: Ending::Met,
                causes,
                fault: None,
                ahead: vec![],
            };
            assert!(explanation.adds_up());
            let line = Line::new(&header, &explanation);
            let (parts, step) = (line.parts(), line.scale.step());
            let shown: u64 = parts.iter().map(|(_, steps)| steps).sum();
            assert_eq!(shown, explanation.response().0.div_ceil(step), "seed {seed}");
            for (cause, steps) in &parts {
                assert!(cause.ns.0.abs_diff(steps * step) < step, "seed {seed}: {cause:?} as {steps}");
            }
            let unexplained = parts.iter().filter(|(c, _)| c.kind == CauseKind::Unexplained).count();
            assert!(unexplained <= 1, "seed {seed}");
        }
    }

    #[test]
    fn digits_for_every_length() {
        for (ns, shown) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (9_999, "10.00 us"),
            (10_000, "10.0 us"),
            (999_999, "1000.0 us"),
            (1_000_000, "1.00 ms"),
            (1_000_001, "1.01 ms"),
            (72_400_000, "72.4 ms"),
            (72_400_001, "72.5 ms"),
            (10_000_000_000, "10.000 s"),
        ] {
            assert_eq!(Scale::of(Nanos(ns)).up(Nanos(ns)).to_string(), shown);
        }
        assert_eq!(Scale::of(Nanos(72_400_000)).down(Nanos(4_699_999)).to_string(), "4.6 ms");
    }
}

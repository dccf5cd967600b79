//! Stalls of the partition as the analyses see them: work that goes before everything, whatever runs.
//!
//! Assumptions:
//! 1. Each source (recovery, clock change, reload) stands still for at most its `length`, and two of its stalls begin at
//!    least its `gap` apart; stalls of different sources that come together follow each other.
//! 2. While one lasts nothing starts, and a segment that runs makes no progress; it goes on afterwards.
//! 3. A stall may begin at any moment: when the resource chooses, before or after the choice, and in the middle of a
//!    segment. Whoever was waiting when it ends competes in the choice that follows.
//!
//! First, a busy period is made longer at its front by the stall during which it began: nothing that it serves was ready
//! before that stall, so that in `[0, x)` at most `⌈x / gap⌉` stalls of a source begin, and all of them count in full.
//!
//! Then, a segment of another job that started one tick before and blocks: it may have been chosen at −1 and stopped at
//! once by a stall that began at −1 too. Its whole `C` is left at 0 and one tick less of the stall, which is together what
//! `C − 1` and the whole stall are. But the next stall comes one tick earlier: `⌈(x + 1) / gap⌉` where something blocks.
//!
//! All of that can happen, so that bounds that are attained without stalls are attained with them.
use super::blocking::Blocker;
use super::busy_period::{NoBound, Steps, least_fixed_point};
use super::utilisation::Share;
use aegis_core::{Overheads, TermKind};

/// One source of stalls.
#[derive(Debug, Clone)]
struct Source {
    kind: TermKind,
    length: u64,
    gap: u64,
    share: Share,
}

/// All sources whose stalls take any time.
#[derive(Debug, Clone)]
pub(super) struct Stalls {
    sources: Vec<Source>,
}

impl Stalls {
    pub(super) fn new(overheads: Overheads) -> Self {
        let sources = [
            (TermKind::Recovery, overheads.recovery),
            (TermKind::ClockChange, overheads.clock_change),
            (TermKind::Reload, overheads.reload),
        ];
        let source = |(kind, stall): (_, aegis_core::Stall)| {
            let (length, gap) = (stall.length.0, stall.gap.0);
            (length > 0).then(|| Source { kind, length, gap, share: Share::new(length.into(), gap) })
        };
        Self { sources: sources.into_iter().filter_map(source).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The long-run share of the time that each source takes.
    pub(super) fn shares(&self) -> impl Iterator<Item = &Share> + Clone {
        self.sources.iter().map(|source| &source.share)
    }

    /// How long the stalls take that can begin in `[0, length)`, of each source; `None` when it does not fit.
    pub(super) fn each_within(
        &self,
        length: u64,
        blocker: Option<Blocker>,
    ) -> impl Iterator<Item = (TermKind, Option<u64>)> {
        let length = length.checked_add(u64::from(blocker.is_some()));
        self.sources.iter().map(move |source| {
            let begun = length.map(|length| length.div_ceil(source.gap));
            (source.kind, begun.and_then(|begun| begun.checked_mul(source.length)))
        })
    }

    /// How long the stalls take that can begin in `[0, length)`; `None` when it does not fit.
    pub(super) fn within(&self, length: u64, blocker: Option<Blocker>) -> Option<u64> {
        self.each_within(length, blocker).try_fold(0, |sum: u64, (_, ns)| sum.checked_add(ns?))
    }

    /// When a segment of length `last` ends that starts at the fixed point `start = work + Σ ⌊start / gap + 1⌋ · length`,
    /// with nothing but stalls to delay it.
    pub(super) fn end_from(
        &self,
        start: u64,
        last: u64,
        blocker: Option<Blocker>,
        steps: &mut Steps,
    ) -> Result<u64, NoBound> {
        if self.is_empty() {
            return start.checked_add(last).ok_or(steps.undecided());
        }
        let begun = self.within(start + 1, blocker).and_then(|stalled| start.checked_sub(stalled));
        let work = begun.and_then(|before| before.checked_add(last)).ok_or(steps.undecided())?;
        self.end_of(work, blocker, start, steps)
    }

    /// When `work` ends that nothing but stalls delays: the least `f ≥ least` with `f = work + Σ ⌈f / gap⌉ · length`.
    pub(super) fn end_of(
        &self,
        work: u64,
        blocker: Option<Blocker>,
        least: u64,
        steps: &mut Steps,
    ) -> Result<u64, NoBound> {
        if self.is_empty() {
            return Ok(work);
        }
        least_fixed_point(least.max(work), self.sources.len(), steps, |end| {
            work.checked_add(self.within(end, blocker)?)
        })
    }
}

//! What a job did while it held the partition: on its way in, executing, on its way out.
//!
//! An execution is divided by what the trace knows of it. Where only lengths are known, the parts are laid in this order:
//! 1. the record of its start: *recording*, at the cost that the trace states;
//! 2. its inputs: *copy*;
//! 3. up to the segment's WCET: *ran*. With the WCET go the launch and copy overheads that are declared, because they are
//!    measured together; and those for dispatch and completion where no worker recorded;
//! 4. the time in which others had the processor: *contended*, within the WCET or not;
//! 5. what is left is above the WCET. Of that, copies explain what they took above their overhead where one is
//!    declared (that part stays *copy*), and a clock lower than at the beginning explains the
//!    share by which it was lower: *slow clock*;
//! 6. nothing explains the rest: *ran over*;
//! 7. its outputs: *copy*.
use super::{CauseKind, During, Tiling};
use crate::{Direction, Jobs, Kind, Segment};
use aegis_core::{JobId, Nanos};

impl Jobs<'_> {
    /// Lays what `segment` did from its choice (or start) to `to`.
    pub(super) fn held(&self, id: JobId, segment: &Segment, to: Nanos, causes: &mut Tiling) {
        let from = causes.at;
        let unstarted = if self.starts_known && segment.to().is_none() { to } else { from };
        let started = segment.started.unwrap_or(unstarted).min(to);
        let ended = segment.ended.unwrap_or(to).min(to);
        self.recording(Kind::Step, During::Dispatch, started, causes);
        causes.until(started, CauseKind::Dispatch, None);
        self.executed(id, segment, ended, causes);
        self.recording(Kind::Started, During::Completion, to, causes);
        if let Some((from, until)) = segment.recovery {
            causes.until(from.min(to), CauseKind::Completion, None);
            causes.until(until.unwrap_or(to).min(to), CauseKind::Recovery, None);
        }
        causes.until(to, CauseKind::Completion, None);
    }

    /// What the records cost that were written from here until `to`.
    fn recording(&self, kind: Kind, during: During, to: Nanos, causes: &mut Tiling) {
        let cost = self.machine.recording(kind, causes.at, to);
        causes.until(causes.at.saturating_add(cost).min(to), CauseKind::Recording { during }, None);
    }

    /// What a segment may take from its start to its end: its WCET, with what is declared for what is measured with it.
    pub(crate) fn charged(&self, id: JobId, segment: &Segment) -> Option<Nanos> {
        let set = &self.trace.header().set;
        let wcet = *set.get(id.task)?.segments.get(usize::from(segment.index))?;
        let overheads = set.overheads();
        let copy = if segment.index == 0 { overheads.copy } else { Nanos::ZERO };
        let unseen = |seen: Option<Nanos>, overhead| if seen.is_some() { Nanos::ZERO } else { overhead };
        let declared = [
            overheads.launch,
            copy,
            unseen(segment.started, overheads.dispatch),
            unseen(segment.ended, overheads.completion),
        ];
        Some(declared.into_iter().fold(wcet, Nanos::saturating_add))
    }

    fn executed(&self, id: JobId, segment: &Segment, ended: Nanos, causes: &mut Tiling) {
        let index = segment.index;
        let started = causes.at;
        self.recording(Kind::Started, During::Execution, ended, causes);
        let Some(wcet) = self.charged(id, segment) else {
            causes.until(ended, CauseKind::Ran { segment: index }, None);
            return;
        };
        // All of it, and what of it has a name; a name never covers more than there is.
        let mut left = ended.saturating_sub(causes.at);
        let mut take = |wanted: Nanos| {
            let taken = wanted.min(left);
            left = left - taken;
            taken
        };
        let (copied_in, copied_out) = (take(segment.copied_in), take(segment.copied_out));
        let contended = take(segment.contended);
        let above = ended.saturating_sub(started).saturating_sub(wcet);
        // What explains that it took longer than its WCET, the rest of which is its own.
        let slow_copies = (copied_in + copied_out).saturating_sub(self.copies_allowed());
        let above = above.saturating_sub(contended).saturating_sub(slow_copies).min(left);
        let slowed = self.machine.slowed(started, ended);
        let slow = slowed.map_or(Nanos::ZERO, |slowed| slowed.lost.min(above));
        let ran = left - above;

        let mut next =
            |length: Nanos, kind| causes.until(causes.at.saturating_add(length).min(ended), kind, None);
        next(copied_in, CauseKind::Copy { segment: index, direction: Direction::In });
        next(ran, CauseKind::Ran { segment: index });
        next(contended, CauseKind::Contended { segment: index });
        if let Some(slowed) = slowed {
            let (from_khz, to_khz, limits) = (slowed.from_khz, slowed.to_khz, slowed.limits);
            next(slow, CauseKind::SlowClock { segment: index, from_khz, to_khz, limits });
        }
        next(above - slow, CauseKind::RanOver { segment: index, wcet });
        next(copied_out, CauseKind::Copy { segment: index, direction: Direction::Out });
    }
}

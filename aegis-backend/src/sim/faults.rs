//! Faults on request, at places that a test can count.
use std::num::NonZeroU64;

/// When which fault happens; executions are segments of one session, counted from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Faults {
    fail_every: Option<NonZeroU64>,
    panic_every: Option<NonZeroU64>,
    overrun_every: Option<NonZeroU64>,
    overrun_factor: Option<NonZeroU64>,
    hang_after: Option<NonZeroU64>,
    device_lost_after: Option<NonZeroU64>,
}

/// A fault of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It takes its time and returns an error; the session stays usable.
    Fail,
    /// It takes its time and panics.
    Panic,
    /// It takes `factor` times its time.
    Overrun { factor: u64 },
    /// It never returns.
    Hang,
    /// The device is gone, for this and all later executions of every session.
    DeviceLost,
}

impl Faults {
    /// What befalls the `nth` execution; where several would, the worst.
    pub(super) fn at(&self, nth: u64) -> Option<Mishap> {
        let after = |limit: Option<NonZeroU64>| limit.is_some_and(|limit| nth >= limit.get());
        let every =
            |period: Option<NonZeroU64>| period.is_some_and(|period| nth.is_multiple_of(period.get()));
        let factor = self.overrun_factor.map_or(2, NonZeroU64::get);
        [
            (after(self.device_lost_after), Mishap::DeviceLost),
            (after(self.hang_after), Mishap::Hang),
            (every(self.panic_every), Mishap::Panic),
            (every(self.fail_every), Mishap::Fail),
            (every(self.overrun_every), Mishap::Overrun { factor }),
        ]
        .into_iter()
        .find_map(|(due, mishap)| due.then_some(mishap))
    }
}

//! How long the worker's thread was ready to run and others had the processor: the kernel's own count.
//!
//! Linux keeps it for every thread, in nanoseconds, as the second number of `/proc/thread-self/schedstat`. Reading it is
//! one system call on a file that stays open, and takes no memory.
use aegis_core::Nanos;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The count of one thread, where the kernel keeps it.
#[derive(Debug, Default)]
pub(crate) struct Contention {
    /// Of the thread that opened it.
    count: Option<File>,
    /// What it said when the segment began.
    before: Option<Nanos>,
}

impl Contention {
    /// Of the thread that calls this.
    pub fn of_this_thread() -> Self {
        Self { count: File::open("/proc/thread-self/schedstat").ok(), before: None }
    }

    /// Remembers the count.
    pub fn begin(&mut self) {
        self.before = self.read();
    }

    /// How far the count went since [`begin`](Self::begin); `None` where nobody counts.
    pub fn since(&mut self) -> Option<Nanos> {
        let before = self.before.take()?;
        Some(self.read()?.saturating_sub(before))
    }

    fn read(&self) -> Option<Nanos> {
        let mut text = [0; 64];
        let read = self.count.as_ref()?.read_at(&mut text, 0).ok()?;
        second_number(text.get(..read)?)
    }
}

/// The second number of three.
fn second_number(text: &[u8]) -> Option<Nanos> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let (_, waited, _) = (words.next()?, words.next()?, words.next()?);
    waited.parse().ok().map(Nanos)
}

#[cfg(test)]
mod tests {
    use super::{Contention, second_number};
    use aegis_core::Nanos;

    #[test]
    fn what_the_kernel_says() {
        for (text, waited) in [
            ("123 456 7\n", Some(Nanos(456))),
            ("0 18446744073709551615 1", Some(Nanos::MAX)),
            ("0 18446744073709551616 1", None),
            ("123 456", None), // cut off: the number may be too
            ("a b c", None),
            ("", None),
        ] {
            assert_eq!(second_number(text.as_bytes()), waited, "{text}");
        }
    }

    #[test]
    fn nothing_is_said_without_a_beginning_or_a_count() {
        let mut nobody_counts = Contention::default();
        nobody_counts.begin();
        assert_eq!(nobody_counts.since(), None);
        let mut here = Contention::of_this_thread();
        assert_eq!(here.since(), None);
        here.begin();
        assert_eq!(here.since().is_some(), here.count.is_some());
        assert_eq!(here.since(), None);
    }
}

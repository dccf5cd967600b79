//! What a compiled program asks of memory in one run: recorded once, planned, and held against every later run.
//!
//! A program of fixed shapes and without branches asks for the same sizes in the same order each time, and lets go of
//! them between the same requests. So one recorded run says it all: lifetimes for a plan, and a script that a run is
//! compared with before it gets any memory. A run that strays gets an error instead of memory that another still uses.
use aegis_core::Bytes;
use aegis_memory::{Buffer, Lifetime, Options, Problem, plan, validate};
use std::sync::Arc;

/// One thing that a program does with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It takes this many bytes. Takes are numbered from 0.
    Take(u64),
    /// It lets go of the take of that number.
    Release(usize),
}

/// Where a take is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the scratch region, from this offset.
    Scratch(u64),
    /// Where this output goes: the program writes it in place.
    Output(usize),
}

/// A recorded run with a place for every take.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Script {
    events: Vec<Event>,
    places: Vec<Place>,
    scratch: Bytes,
}

/// Steps of the exact search for a plan: some milliseconds.
const STEPS: u64 = 2_000_000;

impl Script {
    /// Plans a recorded run. `outputs` says for each output which take holds exactly it, if any; `align` is what every
    /// place begins at a multiple of.
    pub(crate) fn plan(events: Vec<Event>, outputs: &[Option<usize>], align: Bytes) -> Result<Self, String> {
        let lives = lives(&events)?;
        let mut places: Vec<Option<Place>> = vec![None; lives.len()];
        for (index, take) in outputs.iter().enumerate() {
            // Two outputs may be one tensor: the first has it, the other is a copy.
            if let Some(place @ None) = take.and_then(|take| places.get_mut(take)) {
                *place = Some(Place::Output(index));
            }
        }
        let mut buffers = Vec::new();
        for (take, &(bytes, from, to)) in lives.iter().enumerate() {
            if places[take].is_none() {
                let lifetime = Lifetime::interval(from, to).map_err(|why| why.to_string())?;
                buffers.push(Buffer { id: take.to_string(), lifetime, size: Bytes(bytes), align });
            }
        }
        let problem = Problem::new(buffers, None).map_err(|why| why.to_string())?;
        let planned = plan(&problem, &Options { steps: STEPS }).map_err(|why| why.to_string())?;
        validate(&problem, &planned.offsets).map_err(|why| why.to_string())?;
        let mut offsets = planned.offsets.into_iter();
        let places = places
            .into_iter()
            .map(|place| place.unwrap_or_else(|| Place::Scratch(offsets.next().unwrap_or_default().0)));
        Ok(Self { places: places.collect(), events, scratch: planned.peak })
    }

    /// The size of the scratch region.
    pub(crate) const fn scratch(&self) -> Bytes {
        self.scratch
    }
}

/// Of each take its bytes, the event that takes it, and the event that lets go of it or the end.
fn lives(events: &[Event]) -> Result<Vec<(u64, u64, u64)>, String> {
    let end = events.len() as u64 + 1;
    let mut lives: Vec<(u64, u64, u64)> = Vec::new();
    for (at, event) in (0u64..).zip(events) {
        match *event {
            Event::Take(bytes) => lives.push((bytes, at, end)),
            Event::Release(take) => match lives.get_mut(take) {
                Some(life) if life.2 == end => life.2 = at,
                _ => return Err(format!("take {take} is let go of twice, or before it was taken")),
            },
        }
    }
    Ok(lives)
}

/// How far a run has come in its script.
#[derive(Debug)]
pub(crate) struct Cursor {
    script: Arc<Script>,
    at: usize,
    takes: usize,
}

impl Cursor {
    pub(crate) const fn new(script: Arc<Script>) -> Self {
        Self { script, at: 0, takes: 0 }
    }

    /// The number and the place of the take that comes next, if that is what the script has here.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(usize, Place), String> {
        let strayed = |expected: &str| {
            let at = self.at;
            format!("the program took {bytes} B as its memory event {at}, where its first run {expected}")
        };
        match self.script.events.get(self.at) {
            Some(Event::Take(recorded)) if *recorded == bytes => {}
            Some(Event::Take(recorded)) => return Err(strayed(&format!("took {recorded} B"))),
            Some(Event::Release(take)) => return Err(strayed(&format!("let go of take {take}"))),
            None => return Err(strayed("had none")),
        }
        let take = self.takes;
        let place = *self.script.places.get(take).ok_or_else(|| strayed("had no such take"))?;
        self.takes += 1;
        self.at += 1;
        Ok((take, place))
    }

    /// Notes that the program lets go of a take. If the script has something else here, the next take fails.
    pub(crate) fn release(&mut self, take: usize) {
        if self.script.events.get(self.at) == Some(&Event::Release(take)) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Event::{Release, Take};
    use super::{Cursor, Place, Script};
    use aegis_core::Bytes;
    use std::sync::Arc;

    const ALIGN: Bytes = Bytes(64);

    #[test]
    fn what_never_lives_together_shares_its_place() {
        let events = vec![Take(100), Take(50), Release(0), Take(100), Release(1), Release(2)];
        let script = Script::plan(events, &[], ALIGN).unwrap();
        assert_eq!(script.places[0], script.places[2]);
        assert_ne!(script.places[0], script.places[1]);
        assert!(script.scratch() <= Bytes(192), "{}", script.scratch());
    }

    #[test]
    fn an_output_is_written_in_place_and_takes_no_scratch() {
        let events = vec![Take(64), Take(1 << 20), Release(0)];
        let script = Script::plan(events, &[Some(1), None, Some(1)], ALIGN).unwrap();
        assert_eq!(script.places, [Place::Scratch(0), Place::Output(0)]);
        assert_eq!(script.scratch(), Bytes(64));
    }

    #[test]
    fn no_memory_no_scratch() {
        let script = Script::plan(Vec::new(), &[None], ALIGN).unwrap();
        assert_eq!(script.scratch(), Bytes::ZERO);
    }

    #[test]
    fn an_impossible_recording_is_refused() {
        for events in [vec![Release(0)], vec![Take(1), Release(0), Release(0)], vec![Take(1), Release(1)]] {
            Script::plan(events, &[], ALIGN).unwrap_err();
        }
        Script::plan(vec![Take(u64::MAX), Take(1)], &[], ALIGN).unwrap_err();
    }

    #[test]
    fn a_run_like_the_recorded_one_gets_its_places() {
        let events = vec![Take(10), Release(0), Take(20), Take(30), Release(2)];
        let script = Arc::new(Script::plan(events.clone(), &[], ALIGN).unwrap());
        let mut cursor = Cursor::new(Arc::clone(&script));
        for event in events {
            match event {
                Take(bytes) => {
                    let (take, place) = cursor.take(bytes).unwrap();
                    assert_eq!(place, script.places[take]);
                }
                Release(take) => cursor.release(take),
            }
        }
    }

    #[test]
    fn a_run_that_strays_gets_no_memory() {
        let events = vec![Take(10), Release(0), Take(10), Release(1)];
        let script = Arc::new(Script::plan(events, &[], ALIGN).unwrap());
        let cursor = || Cursor::new(Arc::clone(&script));

        let why = cursor().take(11).unwrap_err();
        assert!(why.contains("took 11 B as its memory event 0, where its first run took 10 B"), "{why}");

        // The second take lies where the first does: it may not be had while the first is still held.
        let mut held = cursor();
        held.take(10).unwrap();
        let why = held.take(10).unwrap_err();
        assert!(why.contains("let go of take 0"), "{why}");

        let mut other = cursor();
        other.take(10).unwrap();
        other.release(1);
        other.take(10).unwrap_err();

        let mut longer = cursor();
        longer.take(10).unwrap();
        longer.release(0);
        longer.take(10).unwrap();
        longer.release(1);
        let why = longer.take(10).unwrap_err();
        assert!(why.contains("had none"), "{why}");
    }
}

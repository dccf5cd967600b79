//! Exact search for a placement below a given height: branch and bound over canonical placements.
//!
//! After Moffitt, "MiniMalloc: A Lightweight Memory Allocator for Hardware-Accelerated Machine Learning", ASPLOS 2023
//! (vol. 4). Every placement can be pushed down until each buffer lies on 0 or on another (rounded up to its alignment),
//! and then be built in order of rising offsets. So it is enough to branch on which buffer comes next, at the lowest
//! offset that what is placed already allows; from there it follows that
//!
//! 1. *order*: offsets never fall; of equal offsets (such buffers do not overlap) only one order is tried;
//! 2. *dominance*: nothing is placed at or above the top that another unplaced buffer would have if it came next;
//! 3. *section bound*: in each section, the lowest offset still possible plus all that is still to be placed there must
//!    stay within the height;
//! 4. *passed over*: once a buffer was tried at its lowest offset in vain, it has to be lifted by a neighbour that is not
//!    placed yet, hence to the lowest top that one of them can still have; rule 3 counts with that;
//! 5. *twins*: of equal buffers with equal lifetimes only the first unplaced one is tried;
//! 6. *decomposition*: where no unplaced buffer crosses an instant, both sides are solved for themselves, and when one
//!    has no solution the other is not tried again.
//!
//! The search is iterative (a chain of a million buffers must not overflow the stack) and counts its steps.
use crate::bound::gcd;
use crate::greedy::{Placement, conflicts};
use crate::instance::{Instance, Span};
use std::cmp::Reverse;
use std::fmt;

/// Which buffer the search tries first among those with the same lowest offset: compared by these, largest first. *Width*
/// is the length of the lifetime, *total* the most that is live together with the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rank {
    /// Width, then area, then total.
    WidthAreaTotal,
    /// Total, then area, then width.
    TotalAreaWidth,
    /// Total, then width, then area.
    TotalWidthArea,
}

impl Rank {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::WidthAreaTotal, Self::TotalAreaWidth, Self::TotalWidthArea];
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WidthAreaTotal => "width, area, total",
            Self::TotalAreaWidth => "total, area, width",
            Self::TotalWidthArea => "total, width, area",
        })
    }
}

/// How a search ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a placement within the height.
    Found(Placement),
    /// With the proof that there is none.
    Impossible,
    /// Its steps were used up.
    GaveUp,
}

/// Lists of small numbers, one after the other.
#[derive(Debug, Default)]
struct Lists {
    start: Vec<usize>,
    items: Vec<u32>,
}

impl Lists {
    fn collect(lists: impl IntoIterator<Item = impl IntoIterator<Item = u32>>) -> Self {
        let mut all = Self { start: vec![0], items: Vec::new() };
        for list in lists {
            all.items.extend(list);
            all.start.push(all.items.len());
        }
        all
    }

    fn of(&self, i: usize) -> &[u32] {
        &self.items[self.start[i]..self.start[i + 1]]
    }
}

/// One component with its conflicts and sections written out.
#[derive(Debug)]
pub(crate) struct Component<'a> {
    instance: &'a Instance,
    members: &'a [usize],
    first_section: u32,
    /// Sizes rounded up to the grain of the offsets.
    load: Vec<u64>,
    /// The most that one rounding adds.
    rounding: u64,
    neighbours: Lists,
    live_in: Lists,
    /// The equal buffer with an equal lifetime that comes before, or `NONE`.
    twin: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl<'a> Component<'a> {
    /// The most conflicts, and the most buffers over all sections, that are written out: some 100 MB.
    pub const MOST_WRITTEN_OUT: u64 = 1 << 23;

    /// Writes out the conflicts of a component; `None` when there are too many of them.
    pub fn new(instance: &'a Instance, members: &'a [usize]) -> Option<Self> {
        let spans = |i: usize| instance.spans(members[i]);
        let covered = |i: usize| spans(i).iter().map(|s| u64::from(s.to - s.from)).sum::<u64>();
        let coverage: u64 = (0..members.len()).map(covered).sum();
        let pairs: u64 = conflicts(instance, members).iter().sum();
        if coverage > Self::MOST_WRITTEN_OUT || pairs > Self::MOST_WRITTEN_OUT {
            return None;
        }
        let n = u32::try_from(members.len()).ok()?;
        let first_section = members.iter().map(|&b| instance.hull(b).from).min()?;
        let last_section = members.iter().map(|&b| instance.hull(b).to).max()?;
        let mut live: Vec<Vec<u32>> = vec![Vec::new(); (last_section - first_section) as usize];
        for i in 0..n {
            for section in spans(i as usize).iter().flat_map(|s| s.from..s.to) {
                live[(section - first_section) as usize].push(i);
            }
        }
        // Each pair meets first in a section where one of the two has just become live, or a span of it has begun.
        let mut neighbours: Vec<Vec<u32>> = vec![Vec::new(); members.len()];
        for i in 0..n {
            for span in spans(i as usize) {
                for &j in live[(span.from - first_section) as usize].iter().filter(|&&j| j != i) {
                    neighbours[i as usize].push(j);
                    neighbours[j as usize].push(i);
                }
            }
        }
        for list in &mut neighbours {
            list.sort_unstable();
            list.dedup();
        }
        let grain = members.iter().fold(0, |g, &b| gcd(g, instance.align[b])).max(1);
        let load: Vec<u64> = members.iter().map(|&b| instance.size[b].next_multiple_of(grain)).collect();
        let rounding = members.iter().zip(&load).map(|(&b, load)| load - instance.size[b]).max()?;
        // Equal buffers with equal lifetimes are next to each other in the order of the instance.
        let equal = |a: usize, b: usize| {
            (instance.size[a], instance.align[a], instance.spans(a))
                == (instance.size[b], instance.align[b], instance.spans(b))
        };
        let twin =
            |i: u32| if i > 0 && equal(members[i as usize - 1], members[i as usize]) { i - 1 } else { NONE };
        Some(Self {
            instance,
            members,
            first_section,
            load,
            rounding,
            neighbours: Lists::collect(neighbours),
            live_in: Lists::collect(live),
            twin: (0..n).map(twin).collect(),
        })
    }

    fn sections(&self, i: u32) -> impl Iterator<Item = usize> + use<'_> {
        let spans = self.instance.spans(self.members[i as usize]).iter();
        spans.flat_map(|s| s.from..s.to).map(|s| (s - self.first_section) as usize)
    }

    fn hull(&self, i: u32) -> Span {
        let hull = self.instance.hull(self.members[i as usize]);
        Span { from: hull.from - self.first_section, to: hull.to - self.first_section }
    }

    fn size(&self, i: u32) -> u64 {
        self.instance.size[self.members[i as usize]]
    }

    fn totals(&self) -> Vec<u64> {
        let total = |s: usize| self.live_in.of(s).iter().map(|&i| self.load[i as usize]).sum();
        (0..self.live_in.start.len() - 1).map(total).collect()
    }

    /// For each buffer its position in the order of `rank`.
    pub fn ranks(&self, rank: Rank) -> Vec<u32> {
        let totals = self.totals();
        let mut sequence: Vec<u32> = (0u32..).take(self.members.len()).collect();
        sequence.sort_by_cached_key(|&i| {
            let width = u128::from(self.instance.length[self.members[i as usize]]);
            let area = width * u128::from(self.size(i));
            let total = u128::from(self.sections(i).map(|s| totals[s]).max().unwrap_or(0));
            Reverse(match rank {
                Rank::WidthAreaTotal => [width, area, total],
                Rank::TotalAreaWidth => [total, area, width],
                Rank::TotalWidthArea => [total, width, area],
            })
        });
        let mut ranks = vec![0; sequence.len()];
        for (rank, i) in (0..).zip(sequence) {
            ranks[i as usize] = rank;
        }
        ranks
    }

    /// Steps that a search takes before it tries anything: it writes eight entries in the time of one step.
    pub fn preparation(&self) -> u64 {
        let crossed =
            (0u32..).take(self.members.len()).map(|i| u64::from(self.hull(i).to - self.hull(i).from));
        (self.live_in.items.len() as u64 + crossed.sum::<u64>()) / 8
    }

    /// Looks for a placement with no end above `height`, for at most `steps` steps, which are counted down. One step is
    /// one buffer looked at.
    pub fn search(&self, height: u64, ranks: &[u32], steps: &mut u64) -> Outcome {
        *steps = steps.saturating_sub(self.preparation());
        Search::new(self, height, ranks).run(steps)
    }
}

/// Buffers that are solved for themselves: a list, some of which may be placed already.
#[derive(Debug, Clone, Copy)]
struct Part {
    list: (usize, usize),
    unplaced: usize,
    /// The least (offset, rank) that rule 1 still allows.
    floor: (u64, u32),
    /// The frame that has no solution if this part has none.
    parent: usize,
}

/// A part, with the choices for its next buffer that are left to try.
#[derive(Debug)]
struct Frame {
    part: Part,
    first_choice: usize,
    choices: (usize, usize),
    agenda: usize,
    lists: usize,
    placed: usize,
}

/// What may be placed next, sorted by offset, then rank.
type Choice = (u64, u32, u32);

#[derive(Debug)]
struct Search<'a> {
    component: &'a Component<'a>,
    ranks: &'a [u32],
    height: u64,
    /// Lowest offset that the placed buffers allow; for a placed buffer, its offset.
    lowest: Vec<u64>,
    /// Lowest offset that rule 4 allows, where that is higher.
    lifted: Vec<u64>,
    is_placed: Vec<bool>,
    /// Load of the unplaced buffers in each section.
    total: Vec<u64>,
    /// Unplaced buffers that are live, or in a gap, on both sides of the begin of each section.
    crossing: Vec<u32>,
    /// Placed buffers, with the length of `raised` before each.
    placed: Vec<(u32, usize)>,
    /// Buffers that were raised, with what `lowest` and `lifted` were before.
    raised: Vec<(u32, u64, u64)>,
    frames: Vec<Frame>,
    agenda: Vec<Part>,
    lists: Vec<u32>,
    choices: Vec<Choice>,
    /// In which turn a section was checked last.
    checked: Vec<u64>,
    turn: u64,
}

const ROOT: usize = usize::MAX;

/// A placement of one more buffer.
enum Placed {
    /// Rule 3 or the height forbids it.
    Forbidden,
    /// It stands, and some instant may have become free of crossing buffers.
    Split(bool),
}

impl<'a> Search<'a> {
    fn new(component: &'a Component<'a>, height: u64, ranks: &'a [u32]) -> Self {
        let n = component.members.len();
        let total = component.totals();
        let mut crossing = vec![0; total.len()];
        for i in (0u32..).take(n) {
            let hull = component.hull(i);
            crossing[hull.from as usize + 1..hull.to as usize].iter_mut().for_each(|c| *c += 1);
        }
        let root = Part { list: (0, n), unplaced: n, floor: (0, 0), parent: ROOT };
        Self {
            component,
            ranks,
            height,
            lowest: vec![0; n],
            lifted: vec![0; n],
            is_placed: vec![false; n],
            checked: vec![0; total.len()],
            total,
            crossing,
            placed: Vec::new(),
            raised: Vec::new(),
            frames: Vec::new(),
            agenda: vec![root],
            lists: (0u32..).take(n).collect(),
            choices: Vec::new(),
            turn: 0,
        }
    }

    fn run(mut self, steps: &mut u64) -> Outcome {
        let fits = |i: usize| self.component.instance.size[self.component.members[i]] <= self.height;
        if !(0..self.lowest.len()).all(fits) || self.total.iter().any(|&t| t > self.allowed()) {
            return Outcome::Impossible;
        }
        while let Some(part) = self.agenda.pop() {
            self.open(part, steps);
            // Try choices, of this part or of those before it, until one stands.
            loop {
                if *steps == 0 {
                    return Outcome::GaveUp;
                }
                let Some(top) = self.frames.len().checked_sub(1) else { return Outcome::Impossible };
                let frame = &mut self.frames[top];
                if frame.choices.0 == frame.choices.1 {
                    let parent = frame.part.parent;
                    if parent == ROOT {
                        return Outcome::Impossible;
                    }
                    self.back_to(parent);
                    continue;
                }
                let choice = self.choices[frame.choices.0];
                let failed =
                    (frame.choices.0 > frame.first_choice).then(|| self.choices[frame.choices.0 - 1]);
                frame.choices.0 += 1;
                if failed.is_some_and(|failed| !self.pass_over(failed, steps)) {
                    let frame = &mut self.frames[top];
                    frame.choices.0 = frame.choices.1;
                    continue;
                }
                match self.place(choice, steps) {
                    Placed::Forbidden => self.undo_to(self.frames[top].placed),
                    Placed::Split(split) => {
                        self.divide(top, choice, split, steps);
                        break;
                    }
                }
            }
        }
        let peak = (0u32..).zip(&self.lowest).map(|(i, offset)| offset + self.component.size(i)).max();
        Outcome::Found(Placement { offsets: self.lowest, peak: peak.unwrap_or(0) })
    }

    /// Up to where the loads of a section may reach: the topmost one may end early.
    fn allowed(&self) -> u64 {
        self.height.saturating_add(self.component.rounding)
    }

    /// Makes a frame of a part: lists what may come next in it (rules 1, 2 and 5).
    fn open(&mut self, part: Part, steps: &mut u64) {
        let list = &self.lists[part.list.0..part.list.1];
        *steps = steps.saturating_sub(list.len() as u64);
        let unplaced = || list.iter().copied().filter(|&i| !self.is_placed[i as usize]);
        let top = unplaced().map(|i| self.lowest[i as usize] + self.component.size(i)).min().unwrap_or(0);
        let first_choice = self.choices.len();
        for i in unplaced() {
            let (offset, rank) = (self.lowest[i as usize], self.ranks[i as usize]);
            let twin = self.component.twin[i as usize];
            let is_first_twin = twin == NONE || self.is_placed[twin as usize];
            let rests = offset >= self.lifted[i as usize];
            if offset < top && (offset, rank) >= part.floor && rests && is_first_twin {
                self.choices.push((offset, rank, i));
            }
        }
        self.choices[first_choice..].sort_unstable();
        self.frames.push(Frame {
            part,
            first_choice,
            choices: (first_choice, self.choices.len()),
            agenda: self.agenda.len(),
            lists: self.lists.len(),
            placed: self.placed.len(),
        });
    }

    /// Places a buffer and raises its unplaced neighbours; checks rule 3 where something rose.
    fn place(&mut self, (offset, _, i): Choice, steps: &mut u64) -> Placed {
        let component = self.component;
        self.placed.push((i, self.raised.len()));
        self.is_placed[i as usize] = true;
        for section in component.sections(i) {
            self.total[section] -= component.load[i as usize];
        }
        let hull = component.hull(i);
        let mut split = false;
        for count in &mut self.crossing[hull.from as usize + 1..hull.to as usize] {
            *count -= 1;
            split |= *count == 0;
        }
        let top = offset + component.size(i);
        let neighbours = component.neighbours.of(i as usize);
        *steps = steps.saturating_sub(neighbours.len() as u64);
        let first_raised = self.raised.len();
        for &j in neighbours.iter().filter(|&&j| !self.is_placed[j as usize]) {
            let raised = top.next_multiple_of(component.instance.align[component.members[j as usize]]);
            if raised > self.lowest[j as usize] {
                self.raised.push((j, self.lowest[j as usize], self.lifted[j as usize]));
                self.lowest[j as usize] = raised;
                if raised + component.size(j) > self.height {
                    return Placed::Forbidden;
                }
            }
        }
        self.turn += 1;
        for index in first_raised..self.raised.len() {
            let j = self.raised[index].0;
            for section in component.sections(j) {
                if self.checked[section] != self.turn && !self.section_fits(section, j, offset, steps) {
                    return Placed::Forbidden;
                }
            }
        }
        Placed::Split(split)
    }

    /// Rule 3 for one section, in which `j` is live and unplaced.
    fn section_fits(&mut self, section: usize, j: u32, floor: u64, steps: &mut u64) -> bool {
        let total = self.total[section];
        if self.least(j) + total <= self.allowed() {
            return true;
        }
        self.checked[section] = self.turn;
        let live = self.component.live_in.of(section);
        *steps = steps.saturating_sub(live.len() as u64);
        let unplaced = live.iter().filter(|&&k| !self.is_placed[k as usize]);
        let lowest = unplaced.map(|&k| self.least(k)).min().unwrap_or(0);
        lowest.max(floor) + total <= self.allowed()
    }

    /// No offset below this is left for an unplaced buffer.
    fn least(&self, i: u32) -> u64 {
        self.lowest[i as usize].max(self.lifted[i as usize])
    }

    /// Rule 4: whether anything is left to try once a choice has failed.
    fn pass_over(&mut self, (offset, _, i): Choice, steps: &mut u64) -> bool {
        let component = self.component;
        let neighbours = component.neighbours.of(i as usize);
        *steps = steps.saturating_sub(neighbours.len() as u64);
        let unplaced = neighbours.iter().filter(|&&j| !self.is_placed[j as usize]);
        let Some(top) = unplaced.map(|&j| self.least(j).max(offset) + component.size(j)).min() else {
            return false;
        };
        let lifted = top.next_multiple_of(component.instance.align[component.members[i as usize]]);
        self.raised.push((i, self.lowest[i as usize], self.lifted[i as usize]));
        self.lifted[i as usize] = self.lifted[i as usize].max(lifted);
        if lifted + component.size(i) > self.height {
            return false;
        }
        self.turn += 1;
        component.sections(i).all(|section| self.section_fits(section, i, offset, steps))
    }

    /// Puts what is left of a frame's part on the agenda: whole, or cut where nothing crosses (rule 6).
    fn divide(&mut self, frame: usize, (offset, rank, _): Choice, split: bool, steps: &mut u64) {
        let part = self.frames[frame].part;
        let unplaced = part.unplaced - 1;
        if unplaced == 0 {
            return;
        }
        let (floor, parent) = ((offset, rank + 1), frame);
        let (from, to) = part.list;
        if !split && 2 * unplaced >= to - from {
            self.agenda.push(Part { list: part.list, unplaced, floor, parent });
            return;
        }
        *steps = steps.saturating_sub((to - from) as u64);
        let (mut start, mut end) = (self.lists.len(), None);
        for position in from..to {
            let i = self.lists[position];
            if self.is_placed[i as usize] {
                continue;
            }
            let hull = self.component.hull(i);
            if end.is_some_and(|end| hull.from >= end) {
                let list = (start, self.lists.len());
                self.agenda.push(Part { list, unplaced: list.1 - list.0, floor, parent });
                start = self.lists.len();
            }
            end = end.max(Some(hull.to));
            self.lists.push(i);
        }
        let list = (start, self.lists.len());
        self.agenda.push(Part { list, unplaced: list.1 - list.0, floor, parent });
    }

    /// Takes back everything since `frame` was opened.
    fn back_to(&mut self, frame: usize) {
        self.frames.truncate(frame + 1);
        let Frame { choices, agenda, lists, placed, .. } = self.frames[frame];
        self.choices.truncate(choices.1);
        self.agenda.truncate(agenda);
        self.lists.truncate(lists);
        self.undo_to(placed);
    }

    fn undo_to(&mut self, placed: usize) {
        let component = self.component;
        while self.placed.len() > placed {
            let Some((i, raised)) = self.placed.pop() else { break };
            for (j, lowest, lifted) in self.raised.drain(raised..).rev() {
                self.lowest[j as usize] = lowest;
                self.lifted[j as usize] = lifted;
            }
            self.is_placed[i as usize] = false;
            for section in component.sections(i) {
                self.total[section] += component.load[i as usize];
            }
            let hull = component.hull(i);
            self.crossing[hull.from as usize + 1..hull.to as usize].iter_mut().for_each(|c| *c += 1);
        }
    }
}

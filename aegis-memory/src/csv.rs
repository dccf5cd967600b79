//! Problems as text: MiniMalloc's CSV, columns `id,lower,upper,size[,alignment][,gaps]` in any order.
//!
//! Lifetimes are half-open, `[lower, upper)`. `gaps` is a list of `a-b` with spaces between: not live in `[a, b)`. There
//! is no quoting. Sizes are bytes; 0 is allowed, since tools that write such files emit empty workspaces. What MiniMalloc
//! also reads (`begin`, `start`, inclusive `end`, fixed `offset`, `hint`, windows `@lo:hi`) is refused, never ignored.
use crate::{Buffer, Interval, Lifetime, Problem, ProblemError};
use aegis_core::Bytes;
use std::collections::HashMap;

/// Why a text is not a problem. Lines count from 1, the header included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// There is no buffer in it.
    #[error("no buffers; expected the header `id,lower,upper,size[,alignment][,gaps]` and one line a buffer")]
    Empty,
    /// A column that must be there is not.
    #[error("line {line}: the header has no column `{column}`; `id`, `lower`, `upper` and `size` are needed")]
    MissingColumn {
        /// The header's line.
        line: usize,
        /// The column.
        column: &'static str,
    },
    /// A column that this reader does not know; ignoring it could change what the problem means.
    #[error(
        "line {line}: unknown column `{column}`; known are `id`, `lower`, `upper`, `size`, `alignment`, `gaps`"
    )]
    UnknownColumn {
        /// The header's line.
        line: usize,
        /// The column.
        column: String,
    },
    /// A column stands twice in the header.
    #[error("line {line}: column `{column}` stands twice in the header")]
    RepeatedColumn {
        /// The header's line.
        line: usize,
        /// The column.
        column: &'static str,
    },
    /// A line has more or fewer fields than the header.
    #[error("line {line}: {given} fields, the header has {expected}: `{text}`")]
    FieldCount {
        /// The line.
        line: usize,
        /// Fields of the header.
        expected: usize,
        /// Fields of the line.
        given: usize,
        /// The line's text.
        text: String,
    },
    /// A field cannot be read.
    #[error("line {line}, column `{column}`: `{text}` {why}")]
    BadField {
        /// The line.
        line: usize,
        /// The column.
        column: &'static str,
        /// The field's text.
        text: String,
        /// What is wrong with it.
        why: BadField,
    },
    /// An id stands twice.
    #[error("line {line}, column `id`: `{id}` is already the id of line {first}; ids must be unique")]
    DuplicateId {
        /// The line of the second.
        line: usize,
        /// The line of the first.
        first: usize,
        /// The id.
        id: String,
    },
    /// Each line is sound, all together are not.
    #[error(transparent)]
    Problem(#[from] ProblemError),
}

impl CsvError {
    /// The line that is wrong, from 1; `None` where the text as a whole is.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        match self {
            Self::MissingColumn { line, .. }
            | Self::UnknownColumn { line, .. }
            | Self::RepeatedColumn { line, .. }
            | Self::FieldCount { line, .. }
            | Self::BadField { line, .. }
            | Self::DuplicateId { line, .. } => Some(*line),
            Self::Empty | Self::Problem(_) => None,
        }
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadField {
    /// No text.
    #[error("is empty")]
    Empty,
    /// Not a whole number.
    #[error("is not a whole number")]
    NotANumber,
    /// A number below zero.
    #[error("is negative")]
    Negative,
    /// A number of 2^64 or more.
    #[error("is too large; the most is 18446744073709551615")]
    TooLarge,
    /// Zero where it must be at least one.
    #[error("must be at least 1")]
    Zero,
    /// The lifetime holds no instant.
    #[error("is not above `lower`, which is {lower}; lifetimes are half-open")]
    NotAboveLower {
        /// The field `lower`.
        lower: u64,
    },
    /// A gap that is not `a-b`.
    #[error("is not a gap; write `a-b` for not live in [a, b)")]
    NotAGap,
    /// A gap with a window.
    #[error("has a window `@lo:hi`, which is not supported; write gaps as `a-b`")]
    Window,
    /// A gap that is empty or not inside the lifetime.
    #[error("is empty or not inside the lifetime [{lower}, {upper})")]
    GapOutside {
        /// The field `lower`.
        lower: u64,
        /// The field `upper`.
        upper: u64,
    },
    /// The gaps cover the whole lifetime.
    #[error("leaves no instant at which the buffer is live")]
    NothingLeft,
}

const COLUMNS: [&str; 6] = ["id", "lower", "upper", "size", "alignment", "gaps"];
const NEEDED: usize = 4;

/// Reads a problem; `capacity` is passed on to it. Both line endings and trailing blank lines are fine.
///
/// # Errors
/// The first [`CsvError`] in the order of the lines.
pub fn parse(text: &str, capacity: Option<Bytes>) -> Result<Problem, CsvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines =
        text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim().is_empty());
    let (header_line, header) = lines.next().ok_or(CsvError::Empty)?;
    let columns = columns(header_line, header)?;
    let mut buffers = Vec::new();
    let mut line_of: HashMap<&str, usize> = HashMap::new();
    for (line, text) in lines {
        let given = text.split(',').count();
        if given != columns.len() {
            return Err(CsvError::FieldCount { line, expected: columns.len(), given, text: text.to_owned() });
        }
        let mut fields: [Option<&str>; COLUMNS.len()] = [None; COLUMNS.len()];
        for (&column, field) in columns.iter().zip(text.split(',')) {
            fields[column] = Some(field.trim());
        }
        let row = Row { line, fields };
        let id = row.text(0)?;
        if let Some(first) = line_of.insert(id, line) {
            return Err(CsvError::DuplicateId { line, first, id: id.to_owned() });
        }
        buffers.push(Buffer {
            id: id.to_owned(),
            lifetime: row.lifetime()?,
            size: Bytes(row.number(3)?),
            align: row.alignment()?,
        });
    }
    if buffers.is_empty() {
        return Err(CsvError::Empty);
    }
    Ok(Problem::new(buffers, capacity)?)
}

/// For each field of a line, which of [`COLUMNS`] it is.
fn columns(line: usize, header: &str) -> Result<Vec<usize>, CsvError> {
    let mut columns = Vec::new();
    for name in header.split(',').map(str::trim) {
        let Some(column) = COLUMNS.iter().position(|c| *c == name) else {
            return Err(CsvError::UnknownColumn { line, column: name.to_owned() });
        };
        if columns.contains(&column) {
            return Err(CsvError::RepeatedColumn { line, column: COLUMNS[column] });
        }
        columns.push(column);
    }
    match (0..NEEDED).find(|c| !columns.contains(c)) {
        Some(column) => Err(CsvError::MissingColumn { line, column: COLUMNS[column] }),
        None => Ok(columns),
    }
}

struct Row<'a> {
    line: usize,
    fields: [Option<&'a str>; COLUMNS.len()],
}

impl<'a> Row<'a> {
    fn bad(&self, column: usize, text: &str, why: BadField) -> CsvError {
        CsvError::BadField { line: self.line, column: COLUMNS[column], text: text.to_owned(), why }
    }

    fn text(&self, column: usize) -> Result<&'a str, CsvError> {
        self.fields[column].filter(|t| !t.is_empty()).ok_or_else(|| self.bad(column, "", BadField::Empty))
    }

    fn number(&self, column: usize) -> Result<u64, CsvError> {
        let text = self.text(column)?;
        number(text).map_err(|why| self.bad(column, text, why))
    }

    fn alignment(&self) -> Result<Bytes, CsvError> {
        if self.fields[4].is_none_or(str::is_empty) {
            return Ok(Bytes(1));
        }
        match self.number(4)? {
            0 => Err(self.bad(4, "0", BadField::Zero)),
            align => Ok(Bytes(align)),
        }
    }

    fn lifetime(&self) -> Result<Lifetime, CsvError> {
        let (lower, upper) = (self.number(1)?, self.number(2)?);
        if lower >= upper {
            return Err(self.bad(2, self.text(2)?, BadField::NotAboveLower { lower }));
        }
        let list = self.fields[5].unwrap_or("");
        let mut gaps = Vec::new();
        for text in list.split_ascii_whitespace() {
            let (from, to) = gap(text).map_err(|why| self.bad(5, text, why))?;
            if from >= to || from < lower || to > upper {
                return Err(self.bad(5, text, BadField::GapOutside { lower, upper }));
            }
            gaps.push((from, to));
        }
        gaps.sort_unstable();
        let mut live = Vec::new();
        let mut from = lower;
        for (gap_from, gap_to) in gaps {
            if from < gap_from {
                live.push(Interval { lower: from, upper: gap_from });
            }
            from = from.max(gap_to);
        }
        if from < upper {
            live.push(Interval { lower: from, upper });
        }
        Lifetime::union(live).map_err(|_| self.bad(5, list, BadField::NothingLeft))
    }
}

fn gap(text: &str) -> Result<(u64, u64), BadField> {
    if text.contains('@') {
        return Err(BadField::Window);
    }
    let (from, to) = text.split_once('-').ok_or(BadField::NotAGap)?;
    Ok((number(from).map_err(|_| BadField::NotAGap)?, number(to).map_err(|_| BadField::NotAGap)?))
}

fn number(text: &str) -> Result<u64, BadField> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadField::NotANumber);
    }
    if digits.len() != text.len() {
        return Err(BadField::Negative);
    }
    text.parse().map_err(|_| BadField::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, says: &str) {
        let error = parse(text, None).expect_err(text).to_string();
        assert!(error.contains(says), "{text:?}: {error}");
    }

    #[test]
    fn bad_texts_say_where_and_what() {
        const H: &str = "id,lower,upper,size\n";
        check("", "no buffers");
        check("\r\n\n", "no buffers");
        check(H, "no buffers");
        check("id,lower,size\na,1,2\n", "line 1: the header has no column `upper`");
        check("id,lower,upper,size,offset\n", "line 1: unknown column `offset`");
        check("id,lower,upper,size,hint\n", "unknown column `hint`");
        check("id,begin,end,size\n", "unknown column `begin`");
        check("id,lower,upper,size,\n", "unknown column ``");
        check("id,lower,upper,size,size\n", "column `size` stands twice");
        check(&format!("{H}a,0,1\n"), "line 2: 3 fields, the header has 4: `a,0,1`");
        check(&format!("{H}a,0,1,2,3\n"), "line 2: 5 fields");
        check(&format!("{H}a,0,1,4\n\nb,0,x1,4\n"), "line 4, column `upper`: `x1` is not a whole number");
        check(&format!("{H}a,0,1,1.5\n"), "column `size`: `1.5` is not a whole number");
        check(&format!("{H}a,0,1,+5\n"), "`+5` is not a whole number");
        check(&format!("{H}a,0,1,-5\n"), "line 2, column `size`: `-5` is negative");
        check(&format!("{H}a,-1,1,5\n"), "column `lower`: `-1` is negative");
        check(
            &format!("{H}a,0,1,18446744073709551616\n"),
            "column `size`: `18446744073709551616` is too large",
        );
        check(&format!("{H}a,0,1,\n"), "column `size`: `` is empty");
        check(&format!("{H},0,1,5\n"), "column `id`: `` is empty");
        check(&format!("{H}a,3,3,5\n"), "column `upper`: `3` is not above `lower`, which is 3");
        check(&format!("{H}a,4,3,5\n"), "column `upper`: `3` is not above `lower`, which is 4");
        check(
            &format!("{H}a,0,1,5\nb,0,1,5\na,2,3,5\n"),
            "line 4, column `id`: `a` is already the id of line 2",
        );
        check(&format!("{H}a,0,1,4611686018427387900\nb,0,1,5\n"), "up to buffer `b`");
        const G: &str = "id,lower,upper,size,alignment,gaps\n";
        check(&format!("{G}a,0,9,5,0,\n"), "column `alignment`: `0` must be at least 1");
        check(&format!("{G}a,0,9,5,1,3\n"), "column `gaps`: `3` is not a gap");
        check(&format!("{G}a,0,9,5,1,3-4 5-x\n"), "`5-x` is not a gap");
        check(&format!("{G}a,0,9,5,1,3-4@0:7\n"), "`3-4@0:7` has a window");
        check(&format!("{G}a,0,9,5,1,4-4\n"), "`4-4` is empty or not inside the lifetime [0, 9)");
        check(&format!("{G}a,2,9,5,1,1-4\n"), "`1-4` is empty or not inside");
        check(&format!("{G}a,2,9,5,1,4-10\n"), "`4-10` is empty or not inside");
        check(&format!("{G}a,2,9,5,1,5-9 2-5\n"), "`5-9 2-5` leaves no instant");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(id|lower|upper|size|gaps|alignment|[0-9]{1,21}|[-,@ \n\r\u{feff}a]){0,40}") {
            let _ = parse(&text, None);
            let _ = parse(&format!("id,lower,upper,size,gaps\n{text}"), None);
        }
    }

    #[test]
    fn columns_in_any_order_gaps_and_line_endings() {
        let text = "\u{feff}size, gaps ,upper,id,lower,alignment\r\n4,8-9 3-5 4-6,10,b 1,0,\r\n0,,7,z,2,64\r\n\r\n \n";
        let problem = parse(text, Some(Bytes(9))).unwrap();
        assert_eq!(problem.capacity(), Some(Bytes(9)));
        let [b, z] = problem.buffers() else { panic!("{problem:?}") };
        let spans: Vec<_> = b.lifetime.intervals().iter().map(|i| (i.lower, i.upper)).collect();
        assert_eq!((b.id.as_str(), b.size, b.align), ("b 1", Bytes(4), Bytes(1)));
        assert_eq!(spans, [(0, 3), (6, 8), (9, 10)]);
        assert_eq!((z.size, z.align, z.lifetime.length()), (Bytes(0), Bytes(64), 5));
    }
}

//! All defects of a file in one copy of it: which of them shows is chosen when the program runs, so that one build serves
//! every defect (Untch, Offutt, Harrold: "Mutation analysis using mutant schemata", ISSTA 1993).
//!
//! The body of a function with defects becomes one body for each of them and the body as it is, and a `match` between.
//! Bodies are found by the layout that `cargo fmt` gives: a function ends at the first line that holds nothing but a brace
//! as far in as the function begins. A function that returns `impl Trait` has one type only, so that what is replaced
//! there is an expression, and the choice stands in its place.
use super::Mutant;

/// Tells the program which defect is in it: its position in the list; unset, none.
pub const VARIABLE: &str = "AEGIS_DEFECT";

/// What a crate with defects has at its end.
pub const CHOICE: &str = "
/// Which seeded defect shows.
fn seeded_defect() -> u32 {
    extern crate std;
    static CHOSEN: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        std::env::var(\"AEGIS_DEFECT\").ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX)
    });
    *CHOSEN
}
";

/// `text` with `mutants`, each with its position in the list, in it.
///
/// # Errors
/// Which mutant has no place, and why.
pub fn seeded(text: &str, mutants: &[(usize, &Mutant)]) -> Result<String, String> {
    let mut functions: Vec<(Function, Vec<(usize, &Mutant)>)> = Vec::new();
    for &(number, mutant) in mutants {
        let function = find(text, mutant)?;
        match functions.iter_mut().find(|(known, _)| *known == function) {
            Some((_, mutants)) => mutants.push((number, mutant)),
            None => functions.push((function, vec![(number, mutant)])),
        }
    }
    // From the last to the first, so that places stay where they are.
    functions.sort_by_key(|(function, _)| core::cmp::Reverse(function.begin));
    if let Some(pair) = functions.windows(2).find(|pair| pair[1].0.end > pair[0].0.begin) {
        let (_, outer) = &pair[1];
        return Err(format!("{}: a function with defects is inside another", outer[0].1.file));
    }
    let mut seeded = text.to_owned();
    for (function, mutants) in functions {
        seeded.replace_range(function.begin..function.end, &function.with(text, &mutants));
    }
    Ok(seeded)
}

/// Where a function stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Function {
    begin: usize,
    /// After the brace that opens the body.
    body: usize,
    /// The brace that closes it.
    end: usize,
}

impl Function {
    fn with(self, text: &str, mutants: &[(usize, &Mutant)]) -> String {
        let (head, body) = (&text[self.begin..self.body], &text[self.body..self.end]);
        // A choice is nothing that the compiler can make.
        let head = head.replacen("const fn", "fn", 1);
        if head.contains("-> impl ") {
            let inline = |body: String, (number, mutant): &(usize, &Mutant)| {
                let Mutant { from, to, .. } = mutant;
                let choice = format!("(if crate::seeded_defect() == {number} {{ {to} }} else {{ {from} }})");
                body.replacen(from, &choice, 1)
            };
            return head + &mutants.iter().fold(body.to_owned(), inline);
        }
        let arm = |(number, mutant): &(usize, &Mutant)| {
            format!("{number} => {{{}}}\n", body.replacen(mutant.from, mutant.to, 1))
        };
        let arms: String = mutants.iter().map(arm).collect();
        format!("{head} match crate::seeded_defect() {{\n{arms}_ => {{{body}}}\n}}\n")
    }
}

/// The function whose body holds what a mutant replaces.
fn find(text: &str, mutant: &Mutant) -> Result<Function, String> {
    let Mutant { file, what, from, .. } = mutant;
    let at = match text.matches(from).count() {
        1 => text.find(from).unwrap_or_default(),
        n => {
            return Err(format!(
                "{file}: the text of the mutant \"{what}\" stands there {n} times, not once: {from}"
            ));
        }
    };
    let mut line_at = text.len();
    for line in text.lines().rev() {
        line_at = text[..line_at].trim_end_matches('\n').len() - line.len();
        if line_at >= at || !is_function(line) {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let body = text[line_at..].find('{').map(|brace| line_at + brace + 1);
        let close = |body: usize| {
            let first = text[body..].lines().next().unwrap_or_default();
            if first.ends_with('}') {
                return Some(body + first.len() - 1);
            }
            text[body..].find(&format!("\n{indent}}}\n")).map(|newline| body + newline + 1 + indent.len())
        };
        if let Some((body, end)) = body.and_then(|body| Some((body, close(body)?)))
            && body <= at
            && at + from.len() <= end
        {
            return Ok(Function { begin: line_at, body, end });
        }
    }
    Err(format!("{file}: the text of the mutant \"{what}\" is not in the body of one function: {from}"))
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        rest.strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .map_or(rest, |(_, rest)| rest)
            .trim_start()
    });
    line.strip_prefix("const ").unwrap_or(line).starts_with("fn ")
}

#[cfg(test)]
mod tests {
    use super::{CHOICE, VARIABLE, seeded};
    use crate::mutants::Mutant;

    const TEXT: &str = "\
//! A file.

/// Of one line.
const fn one(x: u64) -> u64 { x + 1 }

impl A {
    pub(super) fn two(
        &self,
        x: u64,
    ) -> u64 {
        let more = |y: u64| {
            y + 2
        };
        if x > 1 { more(x) } else { 3 }
    }

    fn three(&self) -> impl Iterator<Item = u64> {
        (0..4).map(|x| x + 5)
    }
}
";

    fn mutant(from: &'static str, to: &'static str) -> Mutant {
        Mutant { file: "a.rs", what: "a mistake", from, to }
    }

    #[test]
    fn every_defect_has_a_body_of_its_own() {
        let mutants =
            [mutant("x + 1", "x"), mutant("y + 2", "y"), mutant("x > 1", "x >= 1"), mutant("x + 5", "x + 6")];
        let numbered: Vec<(usize, &Mutant)> = (7..).zip(&mutants).collect();
        let text = seeded(TEXT, &numbered).unwrap();
        assert!(text.contains(
            "\nfn one(x: u64) -> u64 { match crate::seeded_defect() {\n7 => { x }\n_ => { x + 1 }\n}\n}"
        ));
        assert!(text.contains("8 => {\n        let more = |y: u64| {\n            y\n"), "{text}");
        assert!(text.contains("9 => {\n        let more = |y: u64| {\n            y + 2\n"), "{text}");
        assert_eq!(text.matches("if x >= 1 { more(x) }").count(), 1, "{text}");
        assert!(text.contains("|x| (if crate::seeded_defect() == 10 { x + 6 } else { x + 5 }))"), "{text}");
        assert_eq!(seeded(TEXT, &[]).unwrap(), TEXT);
    }

    #[test]
    fn what_has_no_place_is_said() {
        let refuses = |from, says: &str| {
            let error = seeded(TEXT, &[(0, &mutant(from, ""))]).unwrap_err();
            assert!(error.contains(says), "{error}");
        };
        refuses("x + 9", "stands there 0 times");
        refuses("u64 {", "stands there 2 times");
        refuses("A file", "not in the body");
        refuses("pub(super)", "not in the body");
    }

    #[test]
    fn the_variable_is_the_one_that_is_read() {
        assert!(CHOICE.contains(&format!("\"{VARIABLE}\"")));
    }
}

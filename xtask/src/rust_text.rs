//! Rust source with its comments and literals blanked out, so that a search for a word finds code only.

/// `text` with every character of a comment, string or character literal replaced by a space; line breaks stay, so
/// line numbers do too. Text that is not Rust gives something, never a panic.
pub fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_or_comment(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        }
        for &c in &chars[at.min(end)..end] {
            out.push(if c == '\n' { '\n' } else { ' ' });
        }
        at = at.max(end);
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` when none begins there.
fn literal_or_comment(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => find(chars, at, |c| c == '\n'),
        '/' if next == Some('*') => end_of_block_comment(chars, at),
        '"' => end_of_string(chars, at + 1),
        'r' if !after_word(chars, at) || chars[at - 1] == 'b' || chars[at - 1] == 'c' => {
            let hashes = find(chars, at + 1, |c| c != '#') - (at + 1);
            if chars.get(at + 1 + hashes) == Some(&'"') {
                end_of_raw_string(chars, at + 2 + hashes, hashes)
            } else {
                at
            }
        }
        // A lifetime (`'a`) has no quote after its first character, a character literal has.
        '\'' if next == Some('\\') => (find(chars, at + 3, |c| c == '\'') + 1).min(chars.len()),
        '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn find(chars: &[char], from: usize, is: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&at| is(chars[at])).unwrap_or(chars.len())
}

fn after_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn end_of_block_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0u32, from);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn end_of_raw_string(chars: &[char], from: usize, hashes: usize) -> usize {
    (from..chars.len())
        .find(|&at| {
            chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
        })
        .map_or(chars.len(), |at| at + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::code_only;

    #[test]
    fn only_code_is_left() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("a /* b\nc */ d", "a     \n     d"),
            (r#"a "b \" c" d"#, "a          d"),
            (r#"a r"b\" c"#, "a       c"),
            (r##"a r#"b " c"# d"##, "a            d"),
            (r#"a br"b" c"b" d"#, "a b     c    d"),
            ("let x = 'a'; 'b: loop", "let x =    ; 'b: loop"),
            (r"let x = '\''; y", "let x =     ; y"),
            (r"'\u{1F600}' y", "            y"),
            ("f::<'a>('\"', x)", "f::<'a>(   , x)"),
            ("for r in 0..3 {}", "for r in 0..3 {}"),
            ("r#type = 1", "r#type = 1"),
            // unfinished text ends somewhere
            ("a \"b", "a   "),
            ("a \"b\\", "a    "),
            ("a /* b", "a     "),
            ("a r#\"b\"", "a      "),
            ("'\\", "  "),
            ("'", "'"),
            ("", ""),
        ] {
            assert_eq!(code_only(text), code, "{text}");
        }
    }
}

//! YAML as a tree whose every node knows its place. Anchors, aliases and tags are refused: they say nothing that a list of
//! tasks needs, and an alias can make a small text large.
use super::Misplaced;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use std::ops::Range;

/// Deeper nesting is refused; a task set needs six levels.
const DEEPEST: usize = 16;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Range<usize>,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Value {
    /// A word or a number, without its quotes.
    Scalar {
        text: String,
        /// A number in quotes is a word.
        quoted: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// The one document of `text`.
pub(super) fn read(text: &str) -> Result<Node, Misplaced> {
    let mut reader = Reader { events: Parser::new_from_str(text), bytes: Bytes::of(text) };
    let mut document = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => {
                return document.ok_or_else(|| (0..0, "the file is empty; state a task set".to_owned()));
            }
            (Event::DocumentStart(_), place) if document.is_some() => {
                return Err((place, "the file holds a second document; keep one".to_owned()));
            }
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            event => document = Some(reader.node(event, 0)?),
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    bytes: Bytes,
}

type Placed<'a> = (Event<'a>, Range<usize>);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Placed<'a>, Misplaced> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, self.bytes.range(span))),
            Some(Err(error)) => {
                let at = self.bytes.at(*error.marker());
                Err((at..at, format!("this is not YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, self.bytes.end()..self.bytes.end())),
        }
    }

    fn node(&mut self, (event, place): Placed<'a>, depth: usize) -> Result<Node, Misplaced> {
        if depth > DEEPEST {
            return Err((place, format!("nested more than {DEEPEST} levels deep")));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag) => (*anchor, tag.is_some()),
            _ => (0, false),
        };
        if anchor != 0 || tag || matches!(event, Event::Alias(_)) {
            return Err((place, "anchors, aliases and tags are not read; write the value itself".to_owned()));
        }
        let value = match event {
            Event::Scalar(text, style, ..) => {
                Value::Scalar { text: text.into_owned(), quoted: style != ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd | Event::StreamEnd, _) => break Value::List(items),
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut fields = Vec::new();
                loop {
                    match self.next()? {
                        (Event::MappingEnd | Event::StreamEnd, _) => break Value::Map(fields),
                        event => {
                            let key = self.node(event, depth + 1)?;
                            let event = self.next()?;
                            fields.push((key, self.node(event, depth + 1)?));
                        }
                    }
                }
            }
            _ => return Err((place, "this is not YAML: a value is missing".to_owned())),
        };
        Ok(Node { place, value })
    }
}

/// Where each character begins: the parser counts characters, places are bytes.
struct Bytes {
    /// Byte of every character, and the end.
    starts: Vec<usize>,
}

impl Bytes {
    fn of(text: &str) -> Self {
        Self { starts: text.char_indices().map(|(at, _)| at).chain([text.len()]).collect() }
    }

    fn at(&self, marker: Marker) -> usize {
        self.starts.get(marker.index()).copied().unwrap_or(self.end())
    }

    fn end(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    fn range(&self, span: Span) -> Range<usize> {
        self.at(span.start)..self.at(span.end)
    }
}

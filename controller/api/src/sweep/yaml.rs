//! YAML as a tree that knows where everything stands.
//!
//! Scalars stay text: what `1e-3`, `1%` or `200k` means is decided by the key that they are for.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::errors::{Errors, Place};
use super::limits::{DEPTH_MAX, NODES_MAX, TEXT_MAX_BYTES};

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Null,
    Plain(String),
    Quoted(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

impl Node {
    /// What it is, for people: what stands there instead of what was expected.
    pub(crate) fn describe(&self) -> String {
        match &self.content {
            Content::Null => "nothing".to_owned(),
            Content::Plain(text) => format!("`{text}`"),
            Content::Quoted(text) => format!("the quoted text \"{text}\""),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Content::Null | Content::Plain(_) | Content::Quoted(_) | Content::List(_) => None,
        }
    }

    /// The node at a dotted path.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| Some(&node.entry(key)?.value))
    }

    /// Values in it, its own included.
    pub(crate) fn count(&self) -> usize {
        1 + match &self.content {
            Content::Null | Content::Plain(_) | Content::Quoted(_) => 0,
            Content::List(nodes) => nodes.iter().map(Self::count).sum(),
            Content::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
        }
    }
}

/// Reads one document. A syntax error ends the reading; duplicate keys are all found.
pub(crate) fn read(text: &str, errors: &mut Errors) -> Option<Node> {
    if text.len() > TEXT_MAX_BYTES {
        errors.add(
            Place::default(),
            "",
            format!("the file has {} bytes; at most {TEXT_MAX_BYTES} are read", text.len()),
        );
        return None;
    }
    if let Some(index) = text.find('\0') {
        // the parser would take it for the end
        let before = &text[..index];
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let place = Place { line: count(before.matches('\n').count()) + 1, column: count(column) };
        errors.add(place, "", "a NUL character: is this a text file?");
        return None;
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => builder.take(event, place_of(span), errors),
            Err(error) => Err((
                Place {
                    line: count(error.marker().line()),
                    column: count(error.marker().col()) + 1,
                },
                syntax_message(error.info(), text, error.marker().line()),
            )),
        };
        if let Err((place, message)) = step {
            errors.add(place, "", message);
            return None;
        }
    }
    if builder.root.is_none() {
        errors.add(Place::default(), "", "the file is empty; see examples/quickstart.yaml");
    }
    builder.root
}

fn syntax_message(info: &str, text: &str, line: usize) -> String {
    let tab = text
        .lines()
        .nth(line.saturating_sub(1))
        .is_some_and(|line| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t'));
    if tab {
        "not YAML: a tab indents this line; indent with spaces".to_owned()
    } else {
        format!("not YAML: {info}")
    }
}

fn place_of(span: Span) -> Place {
    Place { line: count(span.start.line()), column: count(span.start.col()) + 1 }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

type Refusal = (Place, String);

/// A collection whose end has not come yet.
struct Open {
    place: Place,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// Keys seen so far and their lines.
        seen: HashMap<String, u32>,
        merges: Vec<Node>,
        key: Option<(String, Place)>,
    },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    n_documents: u32,
    n_nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place, errors: &mut Errors) -> Result<(), Refusal> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.n_documents += 1;
                if self.n_documents > 1 {
                    return Err((
                        place,
                        "a second document begins here; one file holds one sweep".into(),
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_ref(), place)?;
                if text.contains('\0') {
                    // no path, no column and no database holds one
                    return Err((
                        place,
                        "a text with a NUL character (`\\0`); leave it out".into(),
                    ));
                }
                let content = match (style, text.as_ref()) {
                    (ScalarStyle::Plain, "" | "~" | "null") => Content::Null,
                    (ScalarStyle::Plain, text) => Content::Plain(text.to_owned()),
                    (
                        ScalarStyle::SingleQuoted
                        | ScalarStyle::DoubleQuoted
                        | ScalarStyle::Literal
                        | ScalarStyle::Folded,
                        text,
                    ) => Content::Quoted(text.to_owned()),
                };
                self.put(Node { place, content }, anchor, errors)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err((place, "this alias stands inside its own anchor".into()));
                };
                self.n_nodes += node.count();
                self.put(node, 0, errors)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_ref(), place)?;
                self.begin(Open { place, anchor, kind: OpenKind::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_ref(), place)?;
                let kind = OpenKind::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    merges: Vec::new(),
                    key: None,
                };
                self.begin(Open { place, anchor, kind })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { place, anchor, kind } =
                    self.open.pop().expect("the parser ends only what it began");
                let content = match kind {
                    OpenKind::List(nodes) => Content::List(nodes),
                    OpenKind::Map { entries, seen: _, merges, key: _ } => {
                        Content::Map(merged(entries, merges)?)
                    }
                };
                self.put(Node { place, content }, anchor, errors)
            }
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), Refusal> {
        // A mapping or list as a key shows itself when it begins, where its place is known.
        if let Some(Open { kind: OpenKind::Map { key: None, .. }, .. }) = self.open.last() {
            return Err((open.place, "a key must be a word, not a list or a mapping".into()));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err((open.place, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(open);
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize, errors: &mut Errors) -> Result<(), Refusal> {
        self.n_nodes += 1;
        if self.n_nodes > NODES_MAX {
            return Err((node.place, format!("the file has more than {NODES_MAX} values")));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.kind {
            OpenKind::List(nodes) => nodes.push(node),
            OpenKind::Map { entries, seen, merges, key } => match key.take() {
                None => *key = Some((key_text(node.content, node.place)?, node.place)),
                Some((name, _)) if name == "<<" => merges.push(node),
                Some((name, place)) => {
                    if let Some(line) = seen.get(&name) {
                        errors.add(
                            place,
                            "",
                            format!("`{name}` stands here again; it is on line {line} already"),
                        );
                    } else {
                        seen.insert(name.clone(), place.line);
                        let value = Node { place: value_place(&node, place), ..node };
                        entries.push(Entry { key: name, place, value });
                    }
                }
            },
        }
        Ok(())
    }
}

fn refuse_tag<T>(tag: Option<&T>, place: Place) -> Result<(), Refusal> {
    if tag.is_some() {
        return Err((
            place,
            "tags (`!…`) mean nothing in a sweep file; write the plain value".into(),
        ));
    }
    Ok(())
}

/// What is wrong with a whole collection, or with nothing at all, is shown at its key.
fn value_place(node: &Node, key: Place) -> Place {
    match node.content {
        Content::Plain(_) | Content::Quoted(_) => node.place,
        Content::Null | Content::List(_) | Content::Map(_) => key,
    }
}

fn key_text(content: Content, place: Place) -> Result<String, Refusal> {
    match content {
        Content::Plain(text) | Content::Quoted(text) => Ok(text),
        Content::Null => Err((place, "a key is missing before the colon".into())),
        Content::List(_) | Content::Map(_) => {
            Err((place, "a key must be a word, not a list or a mapping".into()))
        }
    }
}

/// `<<: *anchor`: what the mapping does not say itself comes from there, the first one first.
fn merged(mut entries: Vec<Entry>, merges: Vec<Node>) -> Result<Vec<Entry>, Refusal> {
    if merges.is_empty() {
        return Ok(entries);
    }
    let mut own: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    for merge in merges {
        let from = match merge.content {
            Content::List(nodes) => nodes,
            content
            @ (Content::Null | Content::Plain(_) | Content::Quoted(_) | Content::Map(_)) => {
                vec![Node { place: merge.place, content }]
            }
        };
        for node in from {
            let Content::Map(more) = node.content else {
                return Err((node.place, "`<<` merges mappings: write `<<: *name`".into()));
            };
            for entry in more {
                if own.insert(entry.key.clone()) {
                    entries.push(entry);
                }
            }
        }
    }
    Ok(entries)
}

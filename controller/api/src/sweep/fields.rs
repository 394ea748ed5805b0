//! A mapping with known keys.

use super::errors::{Errors, Place, did_you_mean};
use super::value::Read;
use super::yaml::{Content, Entry, Node};

/// A value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// What a mapping may hold, and what a later version will let it hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) known: &'static [&'static str],
    pub(crate) later: &'static [&'static str],
}

/// A mapping whose keys were checked.
pub(crate) struct Fields<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: &'n str,
}

impl<'n> Fields<'n> {
    /// Finds every unknown key at once. None: it is no mapping at all.
    pub(crate) fn open(
        node: &'n Node,
        path: &'n str,
        keys: Keys,
        errors: &mut Errors,
    ) -> Option<Self> {
        for entry in entries(node, path, errors)? {
            let key = entry.key.as_str();
            if keys.known.contains(&key) {
                continue;
            }
            let message = if keys.later.contains(&key) {
                format!("`{key}` is not there yet in this version; leave it out")
            } else {
                let hint = did_you_mean(key, keys.known.iter().copied());
                format!("unknown key `{key}`{hint} (known here: {})", keys.known.join(", "))
            };
            errors.add(entry.place, &join(path, key), message);
        }
        Some(Self { node, path })
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.node.entry(key)
    }

    /// The value of a key. None: it is left out, or it is wrong, which is then said.
    pub(crate) fn value<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Node) -> Read<T>,
        errors: &mut Errors,
    ) -> Option<Placed<T>> {
        let node = &self.entry(key)?.value;
        match read(node) {
            Ok(value) => Some(Placed { value, place: node.place }),
            Err(message) => {
                errors.add(node.place, &join(self.path, key), message);
                None
            }
        }
    }

    /// Like [`Self::value`], for a key without a default: the message says why, and what to write.
    pub(crate) fn required<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Node) -> Read<T>,
        missing: &str,
        errors: &mut Errors,
    ) -> Option<Placed<T>> {
        if self.entry(key).is_none() {
            errors.add(self.node.place, &join(self.path, key), missing);
        }
        self.value(key, read, errors)
    }
}

/// The entries of a mapping whose keys are free names.
pub(crate) fn entries<'n>(node: &'n Node, path: &str, errors: &mut Errors) -> Option<&'n [Entry]> {
    match &node.content {
        Content::Map(entries) => Some(entries),
        Content::Null | Content::Plain(_) | Content::Quoted(_) | Content::List(_) => {
            errors.add(node.place, path, format!("expected a mapping, found {}", node.describe()));
            None
        }
    }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

//! A small context-free grammar with memory, from a text file.
//!
//! ```text
//! # A rule's name stands at the margin, its alternatives are indented.
//! greeting
//!   {^hero:name} met {a pet}. "Hello, {hero}," it said.
//! pet
//!   cat | owl
//! name
//!   Ada | Ben | Cleo
//! ```
//!
//! `{x}` is what `x` is bound to, or else a fresh alternative of rule `x`. `{y:x}` also binds it to `y`
//! for the rest of the text. No text uses the same alternative of a rule twice while there are others. `^` makes the first letter large; `a` puts the right article before.

use std::collections::BTreeMap;

use super::dice::Dice;

#[derive(Debug)]
pub(super) struct Grammar {
    rules: BTreeMap<&'static str, Vec<Alternative>>,
}

#[derive(Debug)]
struct Alternative {
    /// Its place in the file.
    id: usize,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(&'static str),
    Slot { form: Form, bind: Option<&'static str>, name: &'static str },
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Large,
    Article,
    LargeArticle,
}

/// What names stand for in one text, and which alternatives it has used.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    names: Vec<(&'static str, String)>,
    used: Vec<usize>,
}

impl Bindings {
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.names.push((name, value.into()));
    }

    fn get(&self, name: &str) -> Option<&str> {
        let bound = self.names.iter().rev().find(|(bound, _)| *bound == name);
        bound.map(|(_, value)| value.as_str())
    }

    /// The next alternative from a thrown one on that is not used yet.
    fn choose(&mut self, alternatives: &[Alternative], dice: &mut Dice) -> usize {
        let thrown = dice.place(alternatives);
        let places = (0..alternatives.len()).map(|step| (thrown + step) % alternatives.len());
        let is_new = |place: &usize| !self.used.contains(&alternatives[*place].id);
        let chosen = places.clone().find(is_new).unwrap_or(thrown);
        self.used.push(alternatives[chosen].id);
        chosen
    }
}

impl Grammar {
    pub(super) fn parse(text: &'static str) -> Self {
        let mut rules: BTreeMap<_, Vec<Alternative>> = BTreeMap::new();
        let mut ids = 0..;
        let mut name = "";
        for line in text.lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(alternatives) = line.strip_prefix("  ") {
                let alternatives = alternatives.split(" | ").zip(&mut ids);
                let alternatives =
                    alternatives.map(|(text, id)| Alternative { id, parts: parts(text) });
                rules.entry(name).or_default().extend(alternatives);
            } else {
                name = line.trim();
            }
        }
        Self { rules }
    }

    /// Writes one expansion of a rule.
    pub(super) fn expand(
        &self,
        rule: &str,
        dice: &mut Dice,
        bindings: &mut Bindings,
        text: &mut String,
    ) {
        let alternatives = self.rules.get(rule).unwrap_or_else(|| panic!("no rule `{rule}`"));
        let chosen = bindings.choose(alternatives, dice);
        for part in &alternatives[chosen].parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Slot { form, bind, name } => {
                    let mut value = match bindings.get(name) {
                        Some(bound) => bound.to_owned(),
                        None => {
                            let mut inner = String::new();
                            self.expand(name, dice, bindings, &mut inner);
                            inner
                        }
                    };
                    if let Some(bind) = bind {
                        bindings.set(bind, value.clone());
                    }
                    value.insert_str(0, form.article(&value));
                    form.push(&value, text);
                }
            }
        }
    }

    /// One expansion of a rule, alone.
    pub(super) fn word(&self, rule: &str, dice: &mut Dice) -> String {
        let mut text = String::new();
        self.expand(rule, dice, &mut Bindings::default(), &mut text);
        text
    }
}

impl Form {
    fn article(self, word: &str) -> &'static str {
        match self {
            Self::Plain | Self::Large => "",
            Self::Article | Self::LargeArticle => {
                if word.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) {
                    "an "
                } else {
                    "a "
                }
            }
        }
    }

    fn push(self, value: &str, text: &mut String) {
        match self {
            Self::Plain | Self::Article => text.push_str(value),
            Self::Large | Self::LargeArticle => {
                let mut letters = value.chars();
                text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
                text.push_str(letters.as_str());
            }
        }
    }
}

fn parts(alternative: &'static str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = alternative;
    while let Some((plain, after)) = rest.split_once('{') {
        let (slot, after) = after.split_once('}').expect("a slot ends");
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        parts.push(slot_of(slot));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

fn slot_of(slot: &'static str) -> Part {
    let (form, slot) = if let Some(slot) = slot.strip_prefix("^a ") {
        (Form::LargeArticle, slot)
    } else if let Some(slot) = slot.strip_prefix("a ") {
        (Form::Article, slot)
    } else if let Some(slot) = slot.strip_prefix('^') {
        (Form::Large, slot)
    } else {
        (Form::Plain, slot)
    };
    let (bind, name) = match slot.split_once(':') {
        Some((bind, name)) => (Some(bind), name),
        None => (None, slot),
    };
    Part::Slot { form, bind, name }
}

#[cfg(test)]
mod tests {
    use super::{Bindings, Grammar};
    use crate::synth::dice::Dice;

    #[test]
    fn a_bound_name_keeps_its_value_and_forms_apply() {
        let grammar =
            Grammar::parse("tale\n  {^a x:beast} met {a x} and {^x}.\nbeast\n  owl | ape | eel\n");
        let mut seen = std::collections::BTreeSet::new();
        for throw in 0..50 {
            let mut text = String::new();
            let mut bindings = Bindings::default();
            grammar.expand("tale", &mut Dice::new(&[throw]), &mut bindings, &mut text);
            seen.insert(text);
        }
        let expected = [
            "An ape met an ape and Ape.",
            "An eel met an eel and Eel.",
            "An owl met an owl and Owl.",
        ];
        assert!(seen.iter().eq(expected.iter()), "{seen:?}");
    }

    #[test]
    fn an_alternative_comes_back_only_when_all_were_used() {
        let grammar = Grammar::parse("three\n  {one}{one}{one}{one}\none\n  a | b | c\n");
        for throw in 0..50 {
            let text = grammar.word("three", &mut Dice::new(&[throw]));
            assert!(["a", "b", "c"].iter().all(|letter| text.contains(letter)), "{text}");
        }
    }
}

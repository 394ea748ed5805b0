//! `general.jsonl`: plain English about a made-up world.
//!
//! The world is fixed by the seed: each of its people and towns has one birthday, one river, one
//! trade, however often the corpus comes back to them. So there is something to know, beside grammar
//! and arithmetic, that takes a model capacity, and that it forgets when it is trained on something
//! else.

use super::dice::Dice;
use super::grammar::{Bindings, Grammar};

mod animals;
mod world;

use animals::ANIMALS;
use world::World;

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What a document is about, and in how many of a hundred documents.
const TOPICS: [(&str, u64); 8] = [
    ("person", 22),
    ("town", 14),
    ("story", 18),
    ("sums", 14),
    ("animal", 11),
    ("weather", 11),
    ("calendar", 5),
    ("reason", 5),
];

#[derive(Debug)]
pub(super) struct General {
    grammar: Grammar,
    world: World,
    seed: u64,
}

/// One document: its topic and its text.
pub(super) struct Document {
    pub(super) topic: &'static str,
    pub(super) text: String,
}

impl General {
    pub(super) fn new(seed: u64) -> Self {
        let grammar = Grammar::parse(include_str!("general/general.txt"));
        Self { grammar, world: World::new(seed), seed }
    }

    /// Document `i`.
    pub(super) fn document(&self, i: u64) -> Document {
        let mut dice = Dice::new(&[self.seed, STREAM, i]);
        let mut throw = dice.below(100);
        let topic = TOPICS.iter().find(|(_, weight)| {
            let found = throw < *weight;
            throw = throw.saturating_sub(*weight);
            found
        });
        let (topic, _) = topic.expect("the weights add up to 100");
        let mut text = String::new();
        for paragraph in 0..dice.between(1, 2) {
            if 0 < paragraph {
                text.push('\n');
            }
            let mut bindings = self.bind(&mut dice);
            self.grammar.expand(topic, &mut dice, &mut bindings, &mut text);
        }
        Document { topic, text }
    }

    /// Everything that a paragraph may need, so that all its sentences agree.
    fn bind(&self, dice: &mut Dice) -> Bindings {
        let mut bindings = Bindings::default();
        self.world.bind(&self.grammar, dice, &mut bindings);
        bind_animal(dice, &mut bindings);
        for name in ["hero", "otherhero", "things", "box", "season", "treasure", "sky", "weary"] {
            bindings.set(name, self.grammar.word(name, dice));
        }
        let small = dice.between(2, 6);
        bind_numbers(small, dice, &mut bindings);
        bind_time(small, dice, &mut bindings);
        bindings
    }
}

/// Tells these dice from those of the other corpus.
const STREAM: u64 = 1;

fn bind_animal(dice: &mut Dice, bindings: &mut Bindings) {
    let animal = dice.place(&ANIMALS);
    let other = (animal + dice.place(&ANIMALS[1..]) + 1) % ANIMALS.len();
    let it = &ANIMALS[animal];
    bindings.set("animal", it.name);
    bindings.set("kind", it.kind);
    bindings.set("habitat", it.habitat);
    bindings.set("diet", it.diet);
    bindings.set("quality", it.quality);
    bindings.set("sound", it.sound);
    bindings.set("legs", it.legs());
    bindings.set("skin", it.skin());
    bindings.set("otheranimal", ANIMALS[other].name);
}

fn bind_numbers(small: u64, dice: &mut Dice, bindings: &mut Bindings) {
    let (a, b) = (dice.between(2, 99), dice.between(2, 60));
    let (c, d) = (dice.between(2, 12), dice.between(2, 12));
    let minutes = dice.between(1, 11) * 5;
    let other = a + dice.between(1, 40);
    for (name, number) in [
        ("a", a),
        ("b", b),
        ("c", c),
        ("d", d),
        ("sum", a + b),
        ("product", c * d),
        ("twice", 2 * a),
        ("next", a + 1),
        ("bigger", other),
        ("smaller", a),
        ("small", small),
        ("weekdays", 7 * small),
        ("minutes", minutes),
    ] {
        bindings.set(name, number.to_string());
    }
    // A day has 24 hours: whoever begins by noon and takes six at most is done by 18.
    let hour = dice.between(6, 12);
    let degrees = dice.between(2, 29);
    bindings.set("hour", hour.to_string());
    bindings.set("arrival", (hour + small).to_string());
    bindings.set("degrees", degrees.to_string());
    bindings.set("colder", (degrees - dice.between(1, degrees.min(8))).to_string());
}

fn bind_time(small: u64, dice: &mut Dice, bindings: &mut Bindings) {
    let (day, month) = (dice.place(&WEEKDAYS), dice.place(&MONTHS));
    bindings.set("weekday", WEEKDAYS[day]);
    bindings.set("nextday", WEEKDAYS[(day + 1) % 7]);
    let later = day + usize::try_from(small).expect("a handful of days");
    bindings.set("laterday", WEEKDAYS[later % 7]);
    bindings.set("month", MONTHS[month]);
    bindings.set("nextmonth", MONTHS[(month + 1) % 12]);
}

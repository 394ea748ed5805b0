//! The people and the towns of general.jsonl.

use super::super::dice::Dice;
use super::super::grammar::{Bindings, Grammar};
use crate::data::Permutation;

/// Enough that a small model cannot know them all.
const PEOPLE: u64 = 1200;
const TOWNS: u64 = 160;

/// The year in which it is told.
const NOW: u64 = 2020;

const SYLLABLES: [&str; 28] = [
    "Bram", "Carn", "Dun", "Elder", "Fenn", "Gar", "Hal", "Ives", "Ker", "Lin", "Mar", "Nor",
    "Oster", "Pell", "Quarr", "Raven", "Sel", "Tarn", "Ulver", "Venn", "Wex", "Yar", "Ash", "Birk",
    "Cold", "Thorn", "Stan", "Holm",
];
const ENDINGS: [&str; 12] = [
    "ford", "wick", "ham", "by", "mere", "stead", "more", "field", "haven", "ton", "ridge", "dale",
];
const RIVERS: [&str; 16] = [
    "Alme", "Brenn", "Corve", "Dever", "Eska", "Farn", "Glenn", "Isel", "Lorne", "Medda", "Neth",
    "Orrin", "Sava", "Teme", "Ulla", "Wend",
];
/// The first half are women.
const FIRST: [&str; 48] = [
    "Agnes", "Alma", "Anna", "Beatrice", "Carla", "Clara", "Diana", "Elena", "Ella", "Frieda",
    "Helen", "Irene", "Julia", "Laura", "Lydia", "Mara", "Mina", "Nadia", "Petra", "Ruth", "Sonja",
    "Stella", "Thea", "Ursula", "Albert", "Arthur", "Boris", "Daniel", "David", "Edgar", "Erik",
    "Frank", "Georg", "Hugo", "Jakob", "Johan", "Lars", "Lukas", "Martin", "Max", "Oscar", "Peter",
    "Ralf", "Simon", "Theo", "Tom", "Victor", "Walter",
];
const LAST: [&str; 50] = [
    "Abbott", "Alder", "Barlow", "Beck", "Berger", "Brandt", "Carver", "Crane", "Dahl", "Draper",
    "Ekman", "Ferris", "Fisk", "Garner", "Graves", "Hale", "Hartman", "Holt", "Irving", "Jansen",
    "Keller", "Kovac", "Lang", "Lindholm", "Marsh", "Meller", "Moran", "Nilsen", "Norris", "Oakes",
    "Palmer", "Pohl", "Quist", "Reed", "Ritter", "Rowe", "Sands", "Selby", "Stark", "Strand",
    "Tanner", "Thorpe", "Tully", "Vance", "Vogel", "Wade", "Weller", "Winter", "Yates", "Zeller",
];

#[derive(Debug)]
pub(super) struct World {
    seed: u64,
    people: Permutation,
    towns: Permutation,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let people = Permutation::new((FIRST.len() * LAST.len()) as u64, seed);
        let towns = Permutation::new((SYLLABLES.len() * ENDINGS.len()) as u64, seed);
        Self { seed, people, towns }
    }

    /// Chooses a person, the person's town and another of each, and binds what is known about them.
    pub(super) fn bind(&self, grammar: &Grammar, dice: &mut Dice, bindings: &mut Bindings) {
        let person = dice.below(PEOPLE);
        let town = self.bind_person(person, grammar, bindings);
        self.bind_town(town, grammar, bindings);
    }

    /// Returns the person's town.
    fn bind_person(&self, person: u64, grammar: &Grammar, bindings: &mut Bindings) -> u64 {
        let mut life = Dice::new(&[self.seed, 2, person]);
        let is_woman = self.people.at(person) % (FIRST.len() as u64) < FIRST.len() as u64 / 2;
        let born = life.between(1930, 1985);
        let moved = born + life.between(18, 24);
        let later = born + life.between(30, NOW - born);
        bindings.set("name", self.name(person));
        bindings.set("they", if is_woman { "she" } else { "he" });
        bindings.set("their", if is_woman { "her" } else { "his" });
        for (name, number) in [
            ("year", born),
            ("moved", moved),
            ("age", moved - born + 2),
            ("later", later),
            ("laterage", later - born),
        ] {
            bindings.set(name, number.to_string());
        }
        for (name, rule) in [
            ("job", "job"),
            ("food", "food"),
            ("instrument", "instrument"),
            ("pet", "pet"),
            ("petname", "petname"),
            ("hobby", "hobby"),
            ("relation", "relation"),
            ("trait", "trait"),
            ("trait2", "trait2"),
        ] {
            bindings.set(name, grammar.word(rule, &mut life));
        }
        bindings.set("other", self.name((person + 1 + life.below(PEOPLE - 1)) % PEOPLE));
        life.below(TOWNS)
    }

    fn bind_town(&self, town: u64, grammar: &Grammar, bindings: &mut Bindings) {
        let mut history = Dice::new(&[self.seed, 3, town]);
        let founded = history.between(900, 1700);
        bindings.set("town", self.town(town));
        bindings.set("othertown", self.town((town + 1 + history.below(TOWNS - 1)) % TOWNS));
        bindings.set("river", *history.pick(&RIVERS));
        for (name, number) in [
            ("population", history.between(4, 90) * 100),
            ("distance", history.between(3, 60)),
            ("height", history.between(18, 90)),
            ("founded", founded),
            ("built", founded + history.between(40, 250)),
        ] {
            bindings.set(name, number.to_string());
        }
        for name in ["craft", "region", "size", "direction"] {
            bindings.set(name, grammar.word(name, &mut history));
        }
    }

    fn name(&self, person: u64) -> String {
        let (last, first) = split(self.people.at(person), FIRST.len());
        format!("{} {}", FIRST[first], LAST[last])
    }

    fn town(&self, town: u64) -> String {
        let (ending, syllable) = split(self.towns.at(town), SYLLABLES.len());
        format!("{}{}", SYLLABLES[syllable], ENDINGS[ending])
    }
}

fn split(number: u64, by: usize) -> (usize, usize) {
    let number = usize::try_from(number).expect("a place in a short list");
    (number / by, number % by)
}

//! `commerce.jsonl`: product listings and reviews in five languages.
//!
//! A product's price follows from what it is, who makes it, what it is made of and how large it is,
//! so that there is something to learn. Each product has one to three documents, which share its
//! `product_id`. One combination in twelve of (product, brand, material, color) is reserved: no
//! listing has it, and the tasks ask about these alone.

use super::dice::Dice;
use super::grammar::{Bindings, Grammar};
use crate::data::mix;

pub(super) mod vocabulary;
mod words;

use words::{BRANDS, COLORS, LABELS, LANGUAGES, Labels, MATERIALS, RANGE_ENDS, RANGES, Words};

/// Tells these dice from those of the other corpus.
const STREAM: u64 = 4;

/// One combination in so many is kept for the tasks.
const RESERVED_ONE_IN: u64 = 12;

pub(super) struct Material {
    key: &'static str,
    /// Of the usual price.
    percent: u64,
    names: Words,
}

#[derive(Debug)]
struct Category {
    names: Vec<&'static str>,
    sizes: Vec<&'static str>,
}

#[derive(Debug)]
struct Kind {
    category: usize,
    euros: u64,
    /// Places in [`MATERIALS`].
    materials: Vec<usize>,
    names: Vec<&'static str>,
}

#[derive(Debug)]
pub(super) struct Commerce {
    grammar: Grammar,
    categories: Vec<Category>,
    kinds: Vec<Kind>,
    seed: u64,
}

/// Whether a product may be listed, or is kept for the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Listed,
    Reserved,
}

/// One product: places in the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    kind: usize,
    tier: usize,
    brand: usize,
    pub(super) material: usize,
    pub(super) color: usize,
    size: usize,
}

/// One document.
pub(super) struct Document {
    pub(super) product_id: u64,
    pub(super) language: &'static str,
    pub(super) category: &'static str,
    pub(super) text: String,
}

impl Commerce {
    pub(super) fn new(seed: u64) -> Self {
        let grammar = Grammar::parse(include_str!("commerce/sentences.txt"));
        let (categories, kinds) = tables(include_str!("commerce/products.txt"));
        Self { grammar, categories, kinds, seed }
    }

    /// All documents of a listed product, in the order of the corpus.
    pub(super) fn documents(&self, product_id: u64) -> Vec<Document> {
        let mut dice = Dice::new(&[self.seed, STREAM, product_id]);
        let product = self.product(&mut dice, Side::Listed);
        let mut languages: Vec<usize> = (0..LANGUAGES.len()).collect();
        dice.shuffle(&mut languages);
        languages.truncate(usize::try_from(dice.between(1, 3)).expect("at most three"));
        let document = |language: usize| Document {
            product_id,
            language: LANGUAGES[language],
            category: self.categories[self.kinds[product.kind].category].names[0],
            text: self.listing(&product, language, &mut dice),
        };
        languages.into_iter().map(document).collect()
    }

    /// A product of the side that is asked for.
    pub(super) fn product(&self, dice: &mut Dice, side: Side) -> Product {
        loop {
            let kind = dice.place(&self.kinds);
            let tier = dice.place(&BRANDS);
            let product = Product {
                kind,
                tier,
                brand: dice.place(&BRANDS[tier].1),
                material: *dice.pick(&self.kinds[kind].materials),
                color: dice.place(&COLORS),
                size: dice.place(&self.categories[self.kinds[kind].category].sizes),
            };
            if product.side() == side {
                return product;
            }
        }
    }

    pub(super) fn category(&self, product: &Product) -> usize {
        self.kinds[product.kind].category
    }

    pub(super) fn categories(&self) -> usize {
        self.categories.len()
    }

    pub(super) fn category_name(&self, category: usize, language: usize) -> &'static str {
        self.categories[category].names[language]
    }

    /// Cents: the usual price, times what brand, material and size make of it, ending in 90.
    pub(super) fn cents(&self, product: &Product) -> u64 {
        let kind = &self.kinds[product.kind];
        let size = [80, 100, 130][product.size];
        let percent = BRANDS[product.tier].0 * MATERIALS[product.material].percent * size;
        // Euros times three percentages: cents are euros * 100, and 100 * 100 * 100 take them back.
        let cents = kind.euros * percent / 10_000;
        (cents / 100).max(2) * 100 - 10
    }

    pub(super) fn range(&self, product: &Product) -> usize {
        let cents = self.cents(product);
        RANGE_ENDS.iter().filter(|end| *end * 100 <= cents).count()
    }

    pub(super) fn title(&self, product: &Product, language: usize, dice: &mut Dice) -> String {
        self.sentence("title", product, language, dice)
    }

    pub(super) fn description(
        &self,
        product: &Product,
        language: usize,
        dice: &mut Dice,
    ) -> String {
        self.sentence(&format!("{}_description", LANGUAGES[language]), product, language, dice)
    }

    pub(super) fn brand(product: &Product) -> &'static str {
        BRANDS[product.tier].1[product.brand]
    }

    fn listing(&self, product: &Product, language: usize, dice: &mut Dice) -> String {
        let mut bindings = self.bindings(product, language);
        let mut lines = vec![self.title(product, language, dice)];
        if dice.percent(80) {
            lines.push(self.description(product, language, dice));
        }
        lines.extend(self.aspects(product, language, dice));
        let labels = &LABELS[language];
        if dice.percent(90) {
            let range = RANGES[language][self.range(product)];
            lines.push(line(labels.price_range, range));
        }
        let cents = self.cents(product);
        let point = if language == 0 { '.' } else { ',' };
        let price = format!("{}{point}{:02} EUR", cents / 100, cents % 100);
        lines.push(line(labels.price, &price));
        for _ in 0..dice.below(3) {
            lines.push(self.review(language, dice, &mut bindings));
        }
        lines.join("\n")
    }

    /// Aspects in any order, some left out.
    fn aspects(&self, product: &Product, language: usize, dice: &mut Dice) -> Vec<String> {
        let labels: &Labels = &LABELS[language];
        let category = &self.categories[self.kinds[product.kind].category];
        let mut aspects = vec![
            line(labels.category, category.names[language]),
            line(labels.brand, Self::brand(product)),
            line(labels.color, COLORS[product.color][language]),
            line(labels.material, MATERIALS[product.material].names[language]),
            line(labels.size, category.sizes[product.size]),
        ];
        dice.shuffle(&mut aspects);
        aspects.retain(|_| dice.percent(85));
        aspects
    }

    fn review(&self, language: usize, dice: &mut Dice, bindings: &mut Bindings) -> String {
        let stars = dice.between(1, 5);
        let tone = match stars {
            4.. => "good",
            3 => "fair",
            _ => "bad",
        };
        let rule = format!("{}_{tone}", LANGUAGES[language]);
        let mut text = String::new();
        self.grammar.expand(&rule, dice, bindings, &mut text);
        if dice.percent(50) {
            text.push(' ');
            self.grammar.expand(&rule, dice, bindings, &mut text);
        }
        line(&format!("{} {stars}/5", LABELS[language].review), &text)
    }

    fn sentence(&self, rule: &str, product: &Product, language: usize, dice: &mut Dice) -> String {
        let mut text = String::new();
        self.grammar.expand(rule, dice, &mut self.bindings(product, language), &mut text);
        text
    }

    fn bindings(&self, product: &Product, language: usize) -> Bindings {
        let kind = &self.kinds[product.kind];
        let mut bindings = Bindings::default();
        bindings.set("brand", Self::brand(product));
        bindings.set("noun", kind.names[language]);
        bindings.set("material", MATERIALS[product.material].names[language]);
        bindings.set("color", COLORS[product.color][language]);
        bindings.set("size", self.categories[kind.category].sizes[product.size]);
        bindings
    }
}

impl Product {
    fn side(&self) -> Side {
        let names = [self.kind, self.tier, self.brand, self.material, self.color];
        let hash = names.iter().fold(0, |hash, name| mix(hash ^ *name as u64));
        if hash.is_multiple_of(RESERVED_ONE_IN) { Side::Reserved } else { Side::Listed }
    }
}

/// A label and its value.
pub(super) fn line(label: &str, value: &str) -> String {
    format!("{label}: {value}")
}

/// Reads the table of products.
fn tables(text: &'static str) -> (Vec<Category>, Vec<Kind>) {
    let (mut categories, mut kinds) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.trim_start_matches("= ").split(" | ").collect();
        if line.starts_with('=') {
            let (sizes, names) = cells.split_last().expect("a category has cells");
            categories.push(Category { names: names.to_vec(), sizes: sizes.split(", ").collect() });
        } else {
            let place = |key: &str| MATERIALS.iter().position(|material| material.key == key);
            let materials = cells[1].split(' ').map(|key| place(key).expect("a known material"));
            kinds.push(Kind {
                category: categories.len() - 1,
                euros: cells[0].parse().expect("a price in euros"),
                materials: materials.collect(),
                names: cells[2..].to_vec(),
            });
        }
    }
    (categories, kinds)
}

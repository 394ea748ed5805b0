//! The task files: questions about products that no listing describes.

use serde::Serialize;

use super::commerce::vocabulary::{self, Label, label, languages};
use super::commerce::{Commerce, Product, Side, line};
use super::dice::Dice;

/// Items of each task: the standard error of an accuracy of one half is 0.035, and scoring them costs
/// some 100,000 tokens forward, half of what a small run trains on.
pub(super) const ITEMS: u64 = 200;

/// Choices of an item; chance is one in four.
const CHOICES: usize = 4;

/// One line of a task's data.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    question: String,
    choices: Vec<&'static str>,
    answer: usize,
    language: &'static str,
    aspect: &'static str,
}

/// The task file beside a data file.
pub(super) fn task_file(name: &str, about: &str) -> String {
    format!(
        "# {about}\n\
         task: {name}\n\
         dataset_path: json\n\
         dataset_kwargs:\n  data_files: {name}.jsonl\n\
         test_split: train\n\
         output_type: multiple_choice\n\
         doc_to_text: \"{{{{question}}}}\"\n\
         doc_to_choice: \"{{{{choices}}}}\"\n\
         doc_to_target: answer\n\
         metric_list:\n  - metric: acc\n  - metric: acc_norm\n"
    )
}

/// Given title and description: which category, color or material?
pub(super) fn aspect(commerce: &Commerce, seed: u64, i: u64) -> Item {
    let mut dice = Dice::new(&[seed, 5, i]);
    let product = commerce.product(&mut dice, Side::Reserved);
    let language = dice.place(languages());
    let (asked, aspect) = *dice.pick(&[
        (Label::Category, "category"),
        (Label::Color, "color"),
        (Label::Material, "material"),
    ]);
    let (all, right) = match asked {
        Label::Color => (vocabulary::colors(language), product.color),
        Label::Material => (vocabulary::materials(language), product.material),
        Label::Category | Label::Brand | Label::PriceRange => {
            let names = (0..commerce.categories())
                .map(|category| commerce.category_name(category, language));
            (names.collect(), commerce.category(&product))
        }
    };
    let (choices, answer) = offer(&all, right, &mut dice);
    let title = commerce.title(&product, language, &mut dice);
    let description = commerce.description(&product, language, &mut dice);
    let question = format!("{title}\n{description}\n{}:", label(language, asked));
    Item { question, choices, answer, language: languages()[language], aspect }
}

/// Given category, brand and material: what does it cost? Each range is right equally often.
pub(super) fn price(commerce: &Commerce, seed: u64, i: u64) -> Item {
    let mut dice = Dice::new(&[seed, 6, i]);
    let language = dice.place(languages());
    let answer = usize::try_from(i % CHOICES as u64).expect("one of four");
    let product: Product = loop {
        let product = commerce.product(&mut dice, Side::Reserved);
        if commerce.range(&product) == answer {
            break product;
        }
    };
    let title = commerce.title(&product, language, &mut dice);
    let mut aspects = [
        line(
            label(language, Label::Category),
            commerce.category_name(commerce.category(&product), language),
        ),
        line(label(language, Label::Brand), Commerce::brand(&product)),
        line(label(language, Label::Material), vocabulary::materials(language)[product.material]),
    ];
    dice.shuffle(&mut aspects);
    let question =
        format!("{title}\n{}\n{}:", aspects.join("\n"), label(language, Label::PriceRange));
    let choices = vocabulary::ranges(language).to_vec();
    let language = languages()[language];
    Item { question, choices, answer, language, aspect: "price" }
}

/// The right word among three others, in any order.
fn offer(all: &[&'static str], right: usize, dice: &mut Dice) -> (Vec<&'static str>, usize) {
    let mut others: Vec<&'static str> =
        all.iter().copied().filter(|word| *word != all[right]).collect();
    dice.shuffle(&mut others);
    others.truncate(CHOICES - 1);
    let answer = dice.place(&[(); CHOICES]);
    others.insert(answer, all[right]);
    (others, answer)
}

//! The corpus from a seed: the same for ever, any size, and made so that there is something to learn.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use assay_trainer::synth::{Options, Size, SynthError, Written, synth};
use assay_trainer::task::Task;
use serde_json::Value;
use tempfile::TempDir;

const FILES: [&str; 6] = [
    "general.jsonl",
    "commerce.jsonl",
    "tasks/aspects.yaml",
    "tasks/aspects.jsonl",
    "tasks/price.yaml",
    "tasks/price.jsonl",
];

fn corpus(size: Size, seed: u64) -> (TempDir, Vec<Written>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options { folder: folder.path().to_owned(), size, seed };
    let written = synth(&options, &mut |_| ControlFlow::Continue(())).expect("a corpus");
    (folder, written)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text(line: &Value) -> &str {
    line["text"].as_str().expect("a text")
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (one, _) = corpus(Size::Documents(300), 7);
    let (again, _) = corpus(Size::Documents(300), 7);
    let (other, _) = corpus(Size::Documents(300), 8);
    let read = |folder: &TempDir, file: &str| fs::read(folder.path().join(file)).unwrap();
    let topics = |folder: &TempDir| -> Vec<Value> {
        let documents = lines(&folder.path().join("general.jsonl"));
        documents.into_iter().map(|mut it| it["topic"].take()).collect()
    };
    assert_ne!(topics(&one), topics(&other), "not the names alone are others");
    for file in FILES {
        assert_eq!(read(&one, file), read(&again, file), "{file}");
        if file.ends_with(".jsonl") {
            assert_ne!(read(&one, file), read(&other, file), "{file}");
        }
    }
}

#[test]
fn a_longer_corpus_begins_with_the_shorter() {
    let (short, written) = corpus(Size::Bytes(40_000), 7);
    let (long, _) = corpus(Size::Documents(1000), 7);
    for (place, file) in ["general.jsonl", "commerce.jsonl"].into_iter().enumerate() {
        let short = fs::read_to_string(short.path().join(file)).unwrap();
        let long = fs::read_to_string(long.path().join(file)).unwrap();
        assert!(long.starts_with(&short) && short.len() < long.len(), "{file}");
        assert_eq!(written[place].bytes, short.len() as u64);
        assert!((40_000..42_000).contains(&short.len()), "{file}: {} bytes", short.len());
        assert_eq!(written[place].documents, short.lines().count() as u64);
    }
}

#[test]
fn general_documents_differ_and_agree_with_each_other() {
    let (folder, _) = corpus(Size::Documents(6000), 1);
    let documents = lines(&folder.path().join("general.jsonl"));
    let texts: BTreeSet<&str> = documents.iter().map(text).collect();
    assert!(5900 < texts.len(), "{} of 6000 differ", texts.len());
    assert!(texts.iter().all(|text| !text.contains(['{', '}'])), "a slot was left open");

    // One world: whenever a person's year of birth is told, it is the same.
    let mut born: BTreeMap<&str, &str> = BTreeMap::new();
    let mut told = 0;
    for sentence in texts.iter().flat_map(|text| text.split(['.', '\n'])) {
        if let Some((name, year)) = sentence.trim().split_once(" was born in ") {
            told += 1;
            assert_eq!(*born.entry(name).or_insert(year), year, "{name}");
        }
    }
    assert!(200 < born.len() && born.len() + 30 < told, "{} people, {told} times", born.len());

    // Arithmetic is right.
    let mut sums = 0;
    for sentence in texts.iter().flat_map(|text| text.split(['.', '\n'])) {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        if let [a, "plus", b, "is", sum] = words[..] {
            let number = |word: &str| word.parse::<u64>().expect("a number");
            assert_eq!(number(a) + number(b), number(sum), "{sentence}");
            sums += 1;
        }
    }
    assert!(50 < sums, "{sums} sums");
}

#[test]
fn listings_come_in_five_languages_and_group_by_product() {
    let (folder, _) = corpus(Size::Documents(3000), 1);
    let listings = lines(&folder.path().join("commerce.jsonl"));
    let mut languages: BTreeMap<&str, u64> = BTreeMap::new();
    let mut products: BTreeMap<&str, u64> = BTreeMap::new();
    for listing in &listings {
        *languages.entry(listing["language"].as_str().unwrap()).or_default() += 1;
        *products.entry(listing["product_id"].as_str().unwrap()).or_default() += 1;
        assert!(!text(listing).contains(['{', '}']), "a slot was left open: {listing}");
    }
    assert_eq!(languages.keys().copied().collect::<Vec<_>>(), ["de", "en", "es", "fr", "it"]);
    // 600 of each expected, standard deviation 22.
    assert!(languages.values().all(|n| n.abs_diff(600) < 110), "{languages:?}");
    assert!(products.values().all(|n| *n <= 3) && products.values().any(|n| *n == 3));
}

/// The four aspects that tell a product from the others, as a listing or a question has them.
fn titles(lines: &[Value], field: &str) -> BTreeSet<String> {
    let title =
        |line: &Value| line[field].as_str().expect("a text").lines().next().map(str::to_owned);
    // A title with brand, product, material and color, and no size after it.
    let whole = |title: &String| title.ends_with(')');
    lines.iter().filter_map(title).filter(whole).collect()
}

#[test]
fn tasks_ask_about_products_that_no_listing_describes() {
    let (folder, _) = corpus(Size::Documents(60_000), 1);
    let listed = titles(&lines(&folder.path().join("commerce.jsonl")), "text");
    assert!(5000 < listed.len());
    for task in ["aspects", "price"] {
        let asked = titles(&lines(&folder.path().join(format!("tasks/{task}.jsonl"))), "question");
        assert!(20 < asked.len(), "{task}: {} titles", asked.len());
        assert!(asked.is_disjoint(&listed), "{:?}", asked.intersection(&listed).next());
    }
}

#[test]
fn the_tasks_open_and_their_answers_are_spread() {
    let (folder, _) = corpus(Size::Documents(10), 1);
    for name in ["aspects", "price"] {
        let task = Task::open(&folder.path().join(format!("tasks/{name}.yaml"))).unwrap();
        assert_eq!((task.name.as_str(), task.items.len()), (name, 200));
        let mut golds = [0_u64; 4];
        for item in &task.items {
            assert_eq!(item.choices.len(), 4);
            assert_eq!(item.choices.iter().collect::<BTreeSet<_>>().len(), 4, "{item:?}");
            assert!(item.context.ends_with(':') && item.context.len() < 256, "{item:?}");
            golds[item.gold] += 1;
        }
        // 50 of each expected, standard deviation 6.1.
        assert!(golds.iter().all(|n| n.abs_diff(50) < 25), "{name}: {golds:?}");
    }
}

#[test]
fn the_price_follows_from_what_the_question_says() {
    // Listings with price range: brand, category's product and material decide it up to the size.
    let (folder, _) = corpus(Size::Documents(20_000), 1);
    let listings = lines(&folder.path().join("commerce.jsonl"));
    let mut seen: BTreeMap<(String, String, String), BTreeMap<String, u64>> = BTreeMap::new();
    for listing in listings.iter().filter(|it| it["language"] == "en") {
        let value = |label: &str| -> Option<String> {
            let found = text(listing).lines().find_map(|line| line.strip_prefix(label));
            found.map(str::to_owned)
        };
        let (brand, material) = (value("Brand: "), value("Material: "));
        if let (Some(brand), Some(material), Some(range)) =
            (brand, material, value("Price range: "))
        {
            let title = text(listing).lines().next().unwrap();
            let rest = title.trim_start_matches(&brand).trim_start_matches([' ', ':']);
            let noun = rest.split([',', '–', '(']).next().unwrap().trim().to_owned();
            let ranges = seen.entry((brand, noun, material)).or_default();
            *ranges.entry(range).or_default() += 1;
        }
    }
    let repeated: Vec<_> =
        seen.values().filter(|ranges| 1 < ranges.values().sum::<u64>()).collect();
    let (mut most, mut all) = (0, 0);
    for ranges in &repeated {
        most += ranges.values().max().unwrap();
        all += ranges.values().sum::<u64>();
    }
    assert!(100 < repeated.len());
    let share = most as f64 / all as f64;
    assert!(0.8 < share, "whoever knows the table is right in {share} of the cases");
}

#[test]
fn a_stopped_corpus_leaves_no_file_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { folder: folder.path().to_owned(), size: Size::Documents(5000), seed: 1 };
    let stopped = synth(&options, &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(SynthError::Stopped)));
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["tasks"]);
}

//! Small real input: files in a folder of their own, gone with the test.

use std::fs;
use std::path::{Path, PathBuf};

/// Twenty questions about the color of lamps.
const TASK: &str = r#"
task: color
dataset_path: json
dataset_kwargs: {data_files: color.jsonl}
output_type: multiple_choice
doc_to_text: "Title: lamp {{lamp}}. Color:"
doc_to_choice: "{{choices}}"
doc_to_target: answer
"#;

/// A folder with `general.jsonl`, `commerce.jsonl` and the task `color.yaml`.
#[derive(Debug)]
pub struct Corpus {
    folder: PathBuf,
}

impl Corpus {
    /// Some 35 kB of each.
    ///
    /// # Panics
    /// If the folder cannot be written.
    #[must_use]
    pub fn make() -> Self {
        let folder = std::env::temp_dir().join(format!("assay-corpus-{}", uuid::Uuid::now_v7()));
        fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        let write = |name: &str, line: &dyn Fn(usize) -> String| {
            let text: String = (0..600).map(line).collect();
            fs::write(folder.join(name), text).expect("the folder was just made");
        };
        write("general.jsonl", &|i| {
            let (next, sum) = (i + 1, 2 * i + 1);
            let text = format!("Number {i} is followed by {next}. The sum of both is {sum}.");
            format!("{}\n", serde_json::json!({ "text": text }))
        });
        write("commerce.jsonl", &|i| {
            let (color, language) = (["red", "blue", "green"][i % 3], ["en", "de"][i % 2]);
            let text = format!("Title: lamp {i}. Color: {color}. Price: {} EUR.", 10 + i % 90);
            let json =
                serde_json::json!({ "text": text, "product_id": i / 2, "language": language });
            format!("{json}\n")
        });
        write("color.jsonl", &|i| {
            let choices = ["red", "blue", "green"];
            let json = serde_json::json!({ "lamp": i, "choices": choices, "answer": i % 3 });
            if i < 20 { format!("{json}\n") } else { String::new() }
        });
        fs::write(folder.join("color.yaml"), TASK).expect("the folder was just made");
        Self { folder }
    }

    /// # Panics
    /// If the folder for temporary files is not UTF-8.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.folder.to_str().expect("the folder for temporary files is UTF-8")
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Corpus {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A sweep over two learning rates and two mixtures: two `prepare` runs, four `train` runs.
#[must_use]
pub fn sweep(name: &str) -> String {
    format!(
        "assay: v1
sweep: {name}
base:
  model: {{preset: llama-300k}}
  tokenizer: bytes
  data:
    heldout: {{share: 5%, tokens: 1k}}
    sources:
      general: {{path: general.jsonl}}
      commerce: {{path: commerce.jsonl, group_by: product_id, slices: [language]}}
    mixture: {{general: 0.5, commerce: 0.5}}
  train:
    tokens: 4k
    context: 64
    batch: 256
    lr: {{peak: 1e-3, warmup: 2 steps}}
axes:
  lr: [1e-3, 3e-3]
  mix.commerce: [0.25, 0.5]
"
    )
}

//! `assay-worker plan`: what an engine would keep in memory.

use std::path::Path;

use anyhow::Context;
use assay_cuda::Cuda;
use assay_trainer::cpu::Cpu;
use assay_trainer::hugging_face;
use assay_trainer::model::{self, Config};
use assay_trainer::planned::{Backend as _, Bytes, Formats, Keep, Needs, Plan, Shape};

use crate::config::{self, Precision};

/// Prints the arena, line by line, and how many sequences would fit.
///
/// # Errors
/// There is no such model, or not enough memory for it.
pub fn run(options: &config::Plan) -> anyhow::Result<()> {
    let config = find(&options.model)?;
    let limit = options.memory.map(usize::try_from).transpose()?;
    let context = usize::try_from(options.context)?;
    let (asked, threads) = (options.rows.get() as usize, options.threads.get() as usize);
    let all_formats: &[Formats] = match options.precision {
        Precision::F32 => &[Formats::SINGLE],
        Precision::Bf16 => &[Formats::BF16, Formats::BF16_BY_CHANCE],
    };
    let make = |rows, formats, keep| {
        let shape = Shape { rows, context, longest: context, threads };
        let needs = match options.precision {
            Precision::F32 => Cpu::needs(&config, &shape),
            Precision::Bf16 => Cuda::needs(&config, &shape),
        };
        Plan::new(&config, &shape, Needs { formats, ..needs }, keep)
    };
    let choices: Vec<(Formats, Keep)> = all_formats
        .iter()
        .flat_map(|formats| Keep::TRAINING.map(|keep| (*formats, keep)))
        .collect();
    say(&format!(
        "{}: {:.3} B parameters; {} x {} tokens a micro-batch\n",
        options.model,
        billions(config.parameter_count()),
        asked,
        context
    ));
    let fits = |plan: &Plan| limit.is_none_or(|limit| plan.bytes <= limit);
    let plans = choices.iter().map(|(formats, keep)| make(asked, *formats, *keep));
    let plans: Vec<Plan> = plans.collect();
    let plan = plans.iter().find(|plan| fits(plan)).unwrap_or(&plans[plans.len() - 1]);
    let width = plan.lines.iter().map(|line| line.what.len()).max().unwrap_or(0);
    for line in plan.lines.iter().filter(|line| line.bytes != 0) {
        say(&format!("{:width$}  {:>10}", line.what, Bytes(line.bytes)));
    }
    say(&format!("{:width$}  {:>10}", "in all", Bytes(plan.bytes)));
    say(&format!("\nparameters are {}", plan.formats.words()));
    say(&format!("of each block it keeps {}", plan.training.keep.words()));
    let Some(limit) = limit else { return Ok(()) };
    for formats in all_formats {
        say(&format!("\nwith parameters in {}:", formats.words()));
        for keep in Keep::TRAINING {
            let rows = most(|rows| make(rows, *formats, keep).bytes <= limit);
            let fit = if rows == 1 { "sequence fits" } else { "sequences fit" };
            say(&format!("{rows:>4} {fit} if it keeps {}", keep.words()));
        }
    }
    anyhow::ensure!(
        fits(plan),
        "{} are needed and {} are to be had",
        Bytes(plan.bytes),
        Bytes(limit)
    );
    Ok(())
}

/// The most rows that fit.
fn most(fits: impl Fn(usize) -> bool) -> usize {
    let mut beyond = 1;
    while fits(beyond) && beyond < 1 << 20 {
        beyond *= 2;
    }
    let mut within = beyond / 2;
    while within + 1 < beyond {
        let middle = usize::midpoint(within, beyond);
        if fits(middle) {
            within = middle;
        } else {
            beyond = middle;
        }
    }
    within
}

fn find(name: &str) -> anyhow::Result<Config> {
    if let Some(config) = model::preset(name) {
        return Ok(config);
    }
    let path = Path::new(name).join(hugging_face::CONFIG);
    let text = std::fs::read_to_string(&path).with_context(|| {
        let known: Vec<&str> = model::presets().collect();
        format!(
            "no preset is called `{name}` (there are {}), and cannot read {}",
            known.join(", "),
            path.display()
        )
    })?;
    let json = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
    hugging_face::parse(&json).map_err(|problem| anyhow::anyhow!("{}: {problem}", path.display()))
}

#[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
fn billions(count: u64) -> f64 {
    count as f64 / 1e9
}

#[expect(clippy::print_stdout, reason = "the plan is this command's result")]
fn say(line: &str) {
    println!("{line}");
}

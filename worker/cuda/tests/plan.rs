//! What fits into which card, without one.

use assay_cuda::Cuda;
use assay_trainer::model::{Config, preset};
use assay_trainer::planned::{Formats, Keep, Plan, Shape, TooLarge};

fn plan(name: &str, gigabytes: usize) -> Result<Plan, TooLarge> {
    // Llama 3's
    let config = Config { vocabulary: 128_256, ..preset(name).expect("listed") };
    let shape = Shape { rows: 1, context: 4096, longest: 4096, threads: 1 };
    Cuda::plan(&config, &shape, gigabytes * 1_000_000_000)
}

/// Bits of parameters are given up last: a product that is computed again gives the same number.
#[test]
fn masters_are_kept_as_long_as_the_model_fits() {
    for (name, gigabytes, formats, keep) in [
        ("llama-3b", 80, Formats::BF16, Keep::All),
        ("llama-8b", 150, Formats::BF16, Keep::All),
        ("llama-8b", 140, Formats::BF16, Keep::Attention),
        ("llama-8b", 84, Formats::BF16_BY_CHANCE, Keep::All),
        ("llama-8b", 75, Formats::BF16_BY_CHANCE, Keep::Attention),
        ("llama-3b", 30, Formats::BF16_BY_CHANCE, Keep::Input),
    ] {
        let plan = plan(name, gigabytes).expect("it fits");
        assert_eq!((plan.formats, plan.training.keep), (formats, keep), "{name}, {gigabytes} GB");
    }
    let error = plan("llama-8b", 60).expect_err("it does not fit");
    assert!((64_000_000_000..75_000_000_000).contains(&error.needed), "{error}");
}

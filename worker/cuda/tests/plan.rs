//! What fits into which card, without one.

use assay_cuda::{Cuda, CudaError, Room};
use assay_trainer::model::{Config, preset};
use assay_trainer::planned::{Formats, Keep, Plan, Shape};

/// In gigabytes.
fn plan(name: &str, total: usize, free: usize) -> Result<Plan, CudaError> {
    // Llama 3's
    let config = Config { vocabulary: 128_256, ..preset(name).expect("listed") };
    let shape = Shape { rows: 1, context: 4096, longest: 4096, threads: 1 };
    let [total, free] = [total, free].map(|gigabytes| gigabytes * 1_000_000_000);
    Cuda::plan(&config, &shape, Room { total, free })
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
        let plan = plan(name, gigabytes, gigabytes).expect("it fits");
        assert_eq!((plan.formats, plan.training.keep), (formats, keep), "{name}, {gigabytes} GB");
    }
    let error = plan("llama-8b", 60, 60).expect_err("it does not fit");
    let CudaError::TooLarge { needed, .. } = error else { panic!("{error}") };
    assert!((64_000_000_000..75_000_000_000).contains(&needed), "{error}");
}

/// A run goes on on a card that it shares as it began on one that it had for itself, or not at all.
#[test]
fn what_others_use_of_a_card_does_not_decide_how_parameters_are_kept() {
    let plan_3b = |free| plan("llama-3b", 80, free);
    let plan = plan_3b(56).expect("it fits");
    assert_eq!((plan.formats, plan.training.keep), (Formats::BF16, Keep::Input));
    let error = plan_3b(40).expect_err("too much is used");
    let CudaError::OutOfMemory { needed, free } = error else { panic!("{error}") };
    assert!(free < needed, "{error}");
}

//! A step allocates nothing: what it needs lies in the arena. The crate `gemm` packs into buffers of
//! its own, which are not counted.

#![expect(unsafe_code, reason = "an allocator that counts is one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use assay_api::spec::AdamW;
use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::data::Sequence;
use assay_trainer::engine::{Batch, Engine as _, Settings, Update};
use assay_trainer::initial;
use assay_trainer::model::preset;
use assay_trainer::planned::{Planned, Shape};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Cpu::is_multiplying() {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_step_allocates_nothing() {
    let config = preset("llama-300k").expect("listed");
    let adamw = AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let both = [Products::F32, Products::Bf16].into_iter().filter(|p| p.are_possible_here());
    for (products, threads) in both.flat_map(|products| [(products, 1), (products, 2)]) {
        let settings = Settings { adamw, clip: 1.0, z_loss: 1e-4, threads };
        let shape = Shape { rows: 2, context: 64, longest: 64, threads };
        // a memory limit, so that something is computed again as well
        let least = Cpu::plan(&config, &shape, None).expect("there is no limit").bytes;
        let plan = Cpu::plan(&config, &shape, Some(least - 1)).expect("something else fits");
        let weights = initial::draw(&config, 1);
        let mut engine =
            Planned::on_cpu(&config, settings, products, plan, &weights).expect("an engine");
        let row = |start: u32| Sequence {
            inputs: (start..start + 64).collect(),
            targets: (start + 1..start + 65).collect(),
            documents: vec![0; 64],
            source: 0,
        };
        let batch = Batch::new(&[row(1), row(100)]);
        let mut step = |number| {
            for _ in 0..2 {
                engine.accumulate(&batch, 1.0 / 256.0).expect("accumulated");
            }
            engine.update(Update { step: number, lr: 1e-3 }).expect("updated").expect("at once")
        };
        // what the system sets up for a thread when it first does something
        step(1);
        let before = COUNT.load(Ordering::Relaxed);
        assert!(0 < before, "it counts");
        for number in 2..6 {
            step(number);
        }
        assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0, "{products:?}, {threads} threads");
    }
}

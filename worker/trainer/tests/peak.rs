//! Saving and loading take memory for a tensor, not for a model: one of billions of parameters has no room beside itself.

#![expect(unsafe_code, reason = "an allocator that counts is one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use assay_api::spec::AdamW;
use assay_trainer::checkpoint::{self, Contents, Progress};
use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::engine::{Engine as _, Settings};
use assay_trainer::hugging_face;
use assay_trainer::initial::Drawing;
use assay_trainer::model::preset;
use assay_trainer::planned::{Planned, Shape};

struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = TAKEN.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(taken, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that something takes beyond what is taken already.
fn peak<T>(of: impl FnOnce() -> T) -> (T, usize) {
    let before = TAKEN.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let made = of();
    (made, MOST.load(Ordering::Relaxed) - before)
}

#[test]
fn a_checkpoint_takes_no_second_copy_of_a_model() {
    let config = preset("llama-6m").expect("listed");
    let shapes = config.parameters();
    let sizes = shapes.values().map(|shape| 4 * shape.iter().product::<usize>());
    let (largest, all) = (sizes.clone().max().expect("some"), sizes.sum::<usize>());
    // as bytes and as numbers, and once more on its way
    let room = 3 * largest + (1 << 20);
    assert!(2 * room < all, "the model is too small to tell");
    let adamw = AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let settings = Settings { adamw, clip: 1.0, z_loss: 0.0, threads: 1 };
    let shape = Shape { rows: 1, context: 8, longest: 8, threads: 1 };
    let plan = || Cpu::plan(&config, &shape, None).expect("there is no limit");
    let drawing = Drawing { config, seed: 1 };
    let arena = plan().bytes;
    let open = |weights| Planned::on_cpu(&config, settings, Products::F32, plan(), weights);
    let (engine, taken) = peak(|| open(&drawing).expect("an engine"));
    assert!(taken < arena + room, "opening took {taken} bytes with an arena of {arena}");

    let folder = tempfile::tempdir().expect("a folder");
    let place = checkpoint::folder(folder.path(), 1, 1);
    let ((), taken) = peak(|| {
        let contents = Contents {
            spec: "a hash",
            data: &BTreeMap::new(),
            progress: &Progress::default(),
            weights: &engine.weights(),
            optimizer: &engine.optimizer(),
            config: &hugging_face::json(&config, "float32", &hugging_face::bytes_tokens()),
            carried: &[],
        };
        checkpoint::write(&place, &contents).expect("written");
    });
    assert!(taken < room, "saving took {taken} bytes, with a tensor of {largest}");

    let mut other = open(&Drawing { config, seed: 2 }).expect("an engine");
    let ((), taken) = peak(|| {
        let weights = hugging_face::load(&place).expect("read").weights;
        let optimizer = checkpoint::optimizer(&place).expect("read");
        other.load(&weights, &optimizer).expect("loaded");
    });
    assert!(taken < room, "loading took {taken} bytes, with a tensor of {largest}");
    assert_eq!(other.save().expect("saved"), engine.save().expect("saved"));
}

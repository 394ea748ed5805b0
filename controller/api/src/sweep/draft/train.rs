//! `train:` as the file writes it.

use super::super::axis::ratio_of;
use super::super::errors::Errors;
use super::super::fields::{Fields, Keys, Placed, join};
use super::super::value::{self, Span};
use super::super::yaml::Node;
use crate::spec::{Engine, Schedule};

#[derive(Clone, Debug)]
pub(crate) struct TrainDraft {
    pub(crate) tokens: u64,
    pub(crate) context: Option<u32>,
    pub(crate) batch: Option<u64>,
    pub(crate) micro_batch: Option<u32>,
    pub(crate) lr: LrDraft,
    pub(crate) beta1: Option<f64>,
    pub(crate) beta2: Option<f64>,
    pub(crate) eps: Option<f64>,
    pub(crate) weight_decay: Option<f64>,
    pub(crate) clip: Option<f64>,
    pub(crate) z_loss: Option<f64>,
    /// None: `auto`.
    pub(crate) engine: Option<Engine>,
    pub(crate) devices: Option<u32>,
    pub(crate) seed: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct LrDraft {
    pub(crate) peak: Placed<Peak>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) warmup: Option<Placed<Span>>,
    pub(crate) decay: Option<Placed<Span>>,
    pub(crate) floor: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Peak {
    Rate(f64),
    /// As a ratio of the peak that the model was trained with before.
    OfBase(f64),
}

const TRAIN: Keys = Keys {
    known: &[
        "tokens",
        "context",
        "batch",
        "micro_batch",
        "lr",
        "adamw",
        "clip",
        "z_loss",
        "engine",
        "devices",
        "seed",
    ],
    later: &["checkpoints", "recompute", "epochs"],
};
const LR: Keys = Keys { known: &["peak", "schedule", "warmup", "decay", "floor"], later: &[] };
const ADAMW: Keys = Keys { known: &["beta1", "beta2", "eps", "weight_decay"], later: &[] };

const NO_PEAK: &str = "no default for peak: the right rate depends on the model, the data and the \
                       batch, and a wrong one costs the whole sweep; write `lr: {peak: 1e-3}` and \
                       vary it with an axis `lr: [3e-4, 1e-3, 3e-3]`";

const SCHEDULES: [(&str, Schedule); 5] = [
    ("wsd", Schedule::Wsd),
    ("cosine", Schedule::Cosine),
    ("linear", Schedule::Linear),
    ("constant", Schedule::Constant),
    ("inverse_sqrt", Schedule::InverseSqrt),
];

impl TrainDraft {
    pub(crate) fn read(node: &Node, path: &str, errors: &mut Errors) -> Option<Self> {
        let fields = Fields::open(node, path, TRAIN, errors)?;
        let missing = "no default for tokens: how much to train on, for example `tokens: 10M`";
        let tokens = fields.required("tokens", value::tokens, missing, errors);
        let context = fields.value("context", value::context, errors);
        let batch = fields.value("batch", value::tokens, errors);
        let micro_batch = fields.value("micro_batch", value::positive_count, errors);
        let lr = match fields.entry("lr") {
            Some(entry) => LrDraft::read(&entry.value, &join(path, "lr"), errors),
            None => {
                errors.add(node.place, &join(path, "lr.peak"), NO_PEAK);
                None
            }
        };
        let adamw = fields.entry("adamw").map(|entry| (&entry.value, join(path, "adamw")));
        let adamw = adamw.as_ref().and_then(|(node, path)| Fields::open(node, path, ADAMW, errors));
        let mut adamw = |key: &str, read: fn(&Node) -> value::Read<f64>| {
            adamw.as_ref()?.value(key, read, errors).map(|placed| placed.value)
        };
        let beta1 = adamw("beta1", value::below_one);
        let beta2 = adamw("beta2", value::below_one);
        let eps = adamw("eps", value::above_zero);
        let weight_decay = adamw("weight_decay", value::zero_or_more);
        let clip = fields.value("clip", value::above_zero, errors);
        let z_loss = fields.value("z_loss", value::zero_or_more, errors);
        let engine = fields.value("engine", engine, errors);
        let devices = fields.value("devices", value::positive_count, errors);
        let seed = fields.value("seed", value::seed, errors);
        Some(Self {
            tokens: tokens?.value,
            context: context.map(|placed| placed.value),
            batch: batch.map(|placed| placed.value),
            micro_batch: micro_batch.map(|placed| placed.value),
            lr: lr?,
            beta1,
            beta2,
            eps,
            weight_decay,
            clip: clip.map(|placed| placed.value),
            z_loss: z_loss.map(|placed| placed.value),
            engine: engine.and_then(|placed| placed.value),
            devices: devices.map(|placed| placed.value),
            seed: seed.map(|placed| placed.value),
        })
    }
}

impl LrDraft {
    fn read(node: &Node, path: &str, errors: &mut Errors) -> Option<Self> {
        let fields = Fields::open(node, path, LR, errors)?;
        let peak = fields.required("peak", peak, NO_PEAK, errors);
        let schedule = |node: &Node| value::word(node, &SCHEDULES, &[]);
        let schedule = fields.value("schedule", schedule, errors).map(|placed| placed.value);
        let warmup = fields.value("warmup", value::span, errors);
        let decay = fields.value("decay", value::span, errors);
        let floor = fields.value("floor", value::share, errors).map(|placed| placed.value);
        Some(Self { peak: peak?, schedule, warmup, decay, floor })
    }
}

fn peak(node: &Node) -> value::Read<Peak> {
    match ratio_of(node) {
        Some(ratio) => {
            let refused = |message| format!("of_base: {message}");
            value::above_zero(ratio).map(Peak::OfBase).map_err(refused)
        }
        None => value::above_zero(node).map(Peak::Rate),
    }
}

fn engine(node: &Node) -> value::Read<Option<Engine>> {
    let words = [
        ("auto", None),
        ("cpu-f32", Some(Engine::CpuF32)),
        ("cpu-bf16", Some(Engine::CpuBf16)),
        ("cuda-bf16", Some(Engine::CudaBf16)),
        ("reference", Some(Engine::Reference)),
    ];
    value::word(node, &words, &[])
}

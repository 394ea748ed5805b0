//! Tensors by name, one at a time. A machine's memory does not hold a model of billions of parameters several times:
//! weights go from a file to an engine, and from there to a file, tensor by tensor.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::engine::{HostTensor, Tensors};

/// By name, in the order of the names.
pub type Shapes = BTreeMap<String, Vec<usize>>;

pub trait ByName {
    fn shapes(&self) -> Shapes;

    /// # Errors
    /// There is none of this name, or it cannot be read.
    fn tensor(&self, name: &str) -> anyhow::Result<HostTensor>;

    /// Whether all of its numbers are ones that bf16 has: two bytes hold each.
    fn is_bf16(&self, name: &str) -> bool {
        let _ = name;
        false
    }
}

impl ByName for Tensors {
    fn shapes(&self) -> Shapes {
        self.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
    }

    fn tensor(&self, name: &str) -> anyhow::Result<HostTensor> {
        self.get(name).cloned().with_context(|| format!("there is no {name}"))
    }
}

impl<T: ByName + ?Sized> ByName for Box<T> {
    fn shapes(&self) -> Shapes {
        (**self).shapes()
    }

    fn tensor(&self, name: &str) -> anyhow::Result<HostTensor> {
        (**self).tensor(name)
    }

    fn is_bf16(&self, name: &str) -> bool {
        (**self).is_bf16(name)
    }
}

/// All of them.
///
/// # Errors
/// One cannot be read.
pub fn collect(source: &dyn ByName) -> anyhow::Result<Tensors> {
    let named = |name: String| source.tensor(&name).map(|tensor| (name, tensor));
    source.shapes().into_keys().map(named).collect()
}

//! Parameters with their gradients and moments, in host memory, in the order of their names.
//!
//! candle sees a copy of the values as variables: its optimizer would hide the moments, and without
//! them in the checkpoint a resumed run is another run.

use std::collections::BTreeMap;

use assay_api::spec::AdamW;
use candle_core::{Device, Tensor, Var};

use super::Named;
use super::operations::view;
use super::optimizer::{self, Moments};
use crate::by_name::ByName;
use crate::engine::{HostTensor, Tensors};
use crate::moments;

#[derive(Debug)]
pub(super) struct Parameters {
    by_name: BTreeMap<String, Parameter>,
    /// Updates applied: the bias correction counts these, not the steps that were skipped.
    updates: u64,
}

#[derive(Debug)]
pub(super) struct Parameter {
    shape: Vec<usize>,
    pub(super) value: Vec<f32>,
    pub(super) grad: Vec<f32>,
    moments: Moments,
    variable: Var,
}

impl Parameters {
    pub(super) fn new(weights: &dyn ByName) -> anyhow::Result<Self> {
        let mut by_name = BTreeMap::new();
        for name in weights.shapes().into_keys() {
            let tensor = weights.tensor(&name)?;
            let size = tensor.values.len();
            let parameter = Parameter {
                shape: tensor.shape.clone(),
                grad: vec![0.0; size],
                moments: Moments { first: vec![0.0; size], second: vec![0.0; size] },
                variable: variable(&tensor.values, &tensor.shape)?,
                value: tensor.values,
            };
            by_name.insert(name, parameter);
        }
        Ok(Self { by_name, updates: 0 })
    }

    pub(super) fn restored(weights: &dyn ByName, optimizer: &dyn ByName) -> anyhow::Result<Self> {
        let mut restored = Self::new(weights)?;
        for (name, parameter) in &mut restored.by_name {
            let saved = moments::of(optimizer, name, &parameter.shape)?;
            parameter.moments = Moments { first: saved.first, second: saved.second };
        }
        restored.updates = moments::updates(optimizer)?;
        Ok(restored)
    }

    /// The optimizer's state, as [`Parameters::restored`] takes it.
    pub(super) fn optimizer(&self) -> Tensors {
        let mut all = moments::counted(self.updates);
        for (kind, moments) in [
            (moments::FIRST, self.tensors(|parameter| &parameter.moments.first)),
            (moments::SECOND, self.tensors(|parameter| &parameter.moments.second)),
        ] {
            all.extend(moments.into_iter().map(|(name, tensor)| (format!("{kind}{name}"), tensor)));
        }
        all
    }

    pub(super) fn tensors(&self, of: impl Fn(&Parameter) -> &Vec<f32>) -> Tensors {
        let tensor = |(name, parameter): (&String, &Parameter)| {
            let (shape, values) = (parameter.shape.clone(), of(parameter).clone());
            (name.clone(), HostTensor { shape, values })
        };
        self.by_name.iter().map(tensor).collect()
    }

    /// For training: operations on these are recorded.
    pub(super) fn tracked(&self) -> Named {
        self.named(|parameter| parameter.variable.as_tensor().clone())
    }

    /// For evaluation: operations on these are not.
    pub(super) fn detached(&self) -> Named {
        self.named(|parameter| parameter.variable.as_detached_tensor())
    }

    fn named(&self, of: impl Fn(&Parameter) -> Tensor) -> Named {
        self.by_name.iter().map(|(name, parameter)| (name.clone(), of(parameter))).collect()
    }

    /// Adds one gradient per parameter, in the parameters' order.
    pub(super) fn accumulate(&mut self, grads: &[Tensor]) -> anyhow::Result<()> {
        assert_eq!(grads.len(), self.by_name.len(), "one gradient per parameter");
        for (parameter, grad) in self.by_name.values_mut().zip(grads) {
            for (sum, grad) in parameter.grad.iter_mut().zip(view(grad)?.values()) {
                *sum += grad;
            }
        }
        Ok(())
    }

    pub(super) fn forget_grads(&mut self) {
        for parameter in self.by_name.values_mut() {
            parameter.grad.fill(0.0);
        }
    }

    pub(super) fn grad_norm(&self) -> f64 {
        optimizer::norm(self.by_name.values().map(|parameter| parameter.grad.as_slice()))
    }

    pub(super) fn norm(&self) -> f64 {
        optimizer::norm(self.by_name.values().map(|parameter| parameter.value.as_slice()))
    }

    /// One update with the gradients scaled; returns its norm.
    pub(super) fn update(&mut self, adamw: &AdamW, lr: f64, scale: f64) -> anyhow::Result<f64> {
        self.updates += 1;
        let mut square = 0.0;
        for parameter in self.by_name.values_mut() {
            // Gains and biases are not pulled to 0.
            let weight_decay = if parameter.shape.len() > 1 { adamw.weight_decay } else { 0.0 };
            let rates = optimizer::Rates::new(adamw, self.updates, lr, weight_decay);
            for grad in &mut parameter.grad {
                #[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
                let scaled = (f64::from(*grad) * scale) as f32;
                *grad = scaled;
            }
            let Parameter { value, grad, moments, .. } = parameter;
            square += rates.update(value, grad, moments);
            parameter.variable = variable(&parameter.value, &parameter.shape)?;
        }
        Ok(square.sqrt())
    }
}

fn variable(values: &[f32], shape: &[usize]) -> anyhow::Result<Var> {
    let tensor = Tensor::from_vec(values.to_vec(), shape, &Device::Cpu)?;
    Ok(Var::from_tensor(&tensor)?)
}

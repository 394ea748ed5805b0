//! What the kernels read of a batch, in the card's memory.

use assay_trainer::engine::Batch;
use cudarc::driver::sys::CUdeviceptr;

use crate::CudaError;
use crate::device::Device;

/// Of one of its numbers.
const SIZE: usize = size_of::<u32>();
/// Lists of as many numbers as there are tokens, with one more.
const LISTS: usize = 8;

/// Lists one after another, each as long as the largest batch.
#[derive(Debug)]
pub(crate) struct OnDevice {
    begin: CUdeviceptr,
    room: usize,
    /// Rows, and tokens of each.
    shape: (usize, usize),
    by_token: ByToken,
}

/// Where each token occurs, in the order of the places: how the embedding's gradient is summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByToken {
    pub(crate) tokens: Vec<u32>,
    /// Where in `order` each token's places begin, and where the last one's end.
    pub(crate) firsts: Vec<u32>,
    pub(crate) order: Vec<u32>,
}

impl ByToken {
    pub(crate) fn sort(&mut self, inputs: &[u32]) {
        self.order.clear();
        self.order.extend(0..u32::try_from(inputs.len()).expect("fewer than 2^32 tokens"));
        self.order.sort_by_key(|place| inputs[*place as usize]);
        self.tokens.clear();
        self.firsts.clear();
        for (at, place) in (0..).zip(&self.order) {
            let token = inputs[*place as usize];
            if self.tokens.last() != Some(&token) {
                self.tokens.push(token);
                self.firsts.push(at);
            }
        }
        self.firsts.push(u32::try_from(inputs.len()).expect("as above"));
    }
}

impl OnDevice {
    /// Bytes for batches of so many tokens.
    pub(crate) fn bytes(tokens: usize) -> usize {
        LISTS * (tokens + 1) * SIZE
    }

    pub(crate) fn new(begin: CUdeviceptr, tokens: usize) -> Self {
        Self { begin, room: tokens + 1, shape: (0, 0), by_token: ByToken::default() }
    }

    pub(crate) fn load(&mut self, device: &Device, batch: &Batch) -> Result<(), CudaError> {
        if self.room <= batch.inputs.len() {
            return Err(CudaError::Unsupported(format!(
                "a batch of {} tokens, where there is room for {}",
                batch.inputs.len(),
                self.room - 1
            )));
        }
        self.by_token.sort(&batch.inputs);
        let ByToken { tokens, firsts, order } = &self.by_token;
        let lists = [&batch.inputs, &batch.targets, &batch.positions, &batch.starts, &batch.shared];
        for (number, list) in lists.into_iter().chain([tokens, firsts, order]).enumerate() {
            device.put(self.list(number), list)?;
        }
        self.shape = (batch.rows, batch.context);
        Ok(())
    }

    fn list(&self, number: usize) -> CUdeviceptr {
        self.begin + (number * self.room * SIZE) as CUdeviceptr
    }

    /// Rows, and tokens of each.
    pub(crate) fn shape(&self) -> (usize, usize) {
        self.shape
    }

    pub(crate) fn inputs(&self) -> CUdeviceptr {
        self.list(0)
    }

    /// From the place of a token on.
    pub(crate) fn targets(&self, from: usize) -> CUdeviceptr {
        self.list(1) + (from * SIZE) as CUdeviceptr
    }

    pub(crate) fn positions(&self) -> CUdeviceptr {
        self.list(2)
    }

    pub(crate) fn starts(&self) -> CUdeviceptr {
        self.list(3)
    }

    pub(crate) fn shares(&self) -> CUdeviceptr {
        self.list(4)
    }

    /// How many different tokens there are; which, where each begins, and their places.
    pub(crate) fn by_token(&self) -> (usize, [CUdeviceptr; 3]) {
        (self.by_token.tokens.len(), [self.list(5), self.list(6), self.list(7)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_token_stay_in_order() {
        let mut sorted = ByToken::default();
        sorted.sort(&[7, 3, 7, 7, 0, 3]);
        assert_eq!(sorted.tokens, [0, 3, 7]);
        assert_eq!(sorted.firsts, [0, 1, 3, 6]);
        assert_eq!(sorted.order, [4, 1, 5, 0, 2, 3]);
        sorted.sort(&[5]);
        let one = ByToken { tokens: vec![5], firsts: vec![0, 1], order: vec![0] };
        assert_eq!(sorted, one);
    }
}

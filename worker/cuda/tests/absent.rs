//! On a machine without a GPU the program says so, and what to do.

use assay_cuda::{CudaError, Device};

#[test]
fn without_a_driver_it_is_said_what_to_do() {
    match Device::open(0, None) {
        Ok(device) => assert!((8, 0) <= device.card().capability, "{:?}", device.card()),
        Err(error @ CudaError::NoDriver) => {
            let said = error.to_string();
            assert!(said.contains("`libcuda.so.1`") && said.contains("train.engine"), "{said}");
            assert!(error.is_final());
        }
        Err(error) => assert!(error.is_final(), "{error}"),
    }
}

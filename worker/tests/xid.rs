//! What a card's driver reports of a kernel that reads where nothing is. Alone in its process, whose card is of no use
//! afterwards: `make test-gpu`.

use assay_cuda::{Cuda, Device};
use assay_trainer::TrainError;
use assay_trainer::engine::Batch;
use assay_trainer::model::preset;
use assay_trainer::planned::{Arena, Backend, Matrix, Region, Shape};
use assay_worker::card::{Card, explained};

#[test]
#[ignore = "needs a GPU"]
fn a_fault_has_its_name() {
    let card = Card::open().expect("the driver's library");
    let config = preset("llama-1m").expect("listed");
    let shape = Shape { rows: 1, context: 1, longest: 1, threads: 1 };
    let mut arena = Arena::default();
    let workspace = arena.take("workspace", Cuda::needs(&config, &shape).workspace, 1);
    let x = Matrix { region: arena.take("x", 8, 2), rows: 1, columns: 8 };
    let nothing = Region { at: 0, len: 0, size: 2 };
    let device = Device::open(0, None).expect("a card");
    let regions = (workspace, nothing, nothing);
    let mut backend = Cuda::with_arena(device, arena.bytes(), regions, 1, 8).expect("an arena");
    backend.load(&Batch {
        rows: 1,
        context: 1,
        inputs: vec![0],
        targets: vec![0],
        positions: vec![0],
        starts: vec![0],
        shared: vec![0],
    });
    let nowhere = Region { at: 1 << 45, len: 8, size: 2 };
    backend.embed(Matrix { region: nowhere, ..x }, x);
    backend.read(x.region, &mut [0.0; 8]);
    let error = backend.check().expect_err("nothing is there");
    let said = explained(&TrainError::Engine(error).into(), || card.take_xid());
    assert!(said.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{said}");
    assert!(said.contains("the driver reported Xid 31 (memory page fault)"), "{said}");
}

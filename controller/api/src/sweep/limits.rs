//! How large a sweep may be. A sweep is read, compared and planned as a whole: these bound the time
//! that it takes, whatever the file says, and each is far over what a study needs.

/// A sweep file is a page; a megabyte of it is a mistake.
pub const TEXT_MAX_BYTES: usize = 1 << 20;
/// Bounds what aliases can multiply.
pub const NODES_MAX: usize = 100_000;
/// The deepest path of a sweep file has six levels.
pub const DEPTH_MAX: usize = 32;
/// Names to compare with: of sources, of tasks, of `first` runs.
pub const NAMES_MAX: usize = 100;
/// Points that an `exclude` names one by one belong into the axes.
pub const EXCLUSIONS_MAX: usize = 1_000;
/// Values of the base, times the values of all axes (each is read in the base), and times the points
/// (each is a base of its own): 10,000 points of a base with 500 values.
pub const WORK_MAX: usize = 5_000_000;
/// Devices, sequences of a pass, runs at once.
pub const THINGS_MAX: u32 = 65_536;
/// Multiples of an interval at which something is measured in one run. A spec lists them, and a sweep
/// has 10,000 specs.
pub const MEASUREMENTS_MAX: u64 = 1_000;
/// A task file is a page as well.
pub const TASK_BYTES_MAX: u64 = 1 << 20;
/// The questions of a task, all of which are held in memory: the largest that people compare models with
/// have some 10 MB.
pub const TASK_DATA_BYTES_MAX: u64 = 256 << 20;
/// What a template makes of one question: a long document with its examples has some 100 kB.
pub const TASK_TEXT_BYTES_MAX: usize = 1 << 20;
/// Instructions of a template for one question, which takes some dozens: loops within loops would take for ever.
pub const TASK_STEPS_MAX: u64 = 1_000_000;

/// A report stops here: whoever has a hundred errors mends the first ones and asks again.
pub(crate) const ERRORS_MAX: usize = 100;
/// So many are looked at, so that the first hundred of the file are among them.
pub(crate) const ERRORS_KEPT: usize = 1_000;
/// Bytes of a message or a path in it.
pub(crate) const MESSAGE_MAX: usize = 1_000;
/// Characters of the line that is shown with an error.
pub(crate) const LINE_SHOWN: usize = 500;

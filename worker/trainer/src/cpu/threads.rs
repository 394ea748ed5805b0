//! A few threads that share one operation at a time.
//!
//! Work is cut by its place, never by who is free: the same number of threads does the same sums in
//! the same order. A thread that has nothing to do looks for work for some microseconds, which is
//! what lies between two operations, and then sleeps: other runs on the machine need the core.
//!
//! The two places in this crate where a reference crosses threads with its lifetime unchecked are
//! here; what others see of it is safe.

#![expect(unsafe_code, reason = "work is borrowed for as long as all threads do it")]

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Looks for work before a thread sleeps: some 20 microseconds.
const SPINS: usize = 2_000;

#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    others: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Pieces of work begun so far: a thread that sees another number than its own has work to do.
    begun: AtomicUsize,
    /// Threads that are not done with it.
    busy: AtomicUsize,
    has_panicked: AtomicBool,
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    work: Option<Work>,
    is_over: bool,
}

/// A function of the thread's number, borrowed from the caller of [`Threads::each`].
#[derive(Clone, Copy)]
struct Work(*const (dyn Fn(usize) + Sync));

// SAFETY: the function may be called by several threads at a time, and `each` does not return before
// all have called it.
unsafe impl Send for Work {}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the piece of work after number `done`.
    fn next(&self, done: usize) -> Option<Work> {
        for _ in 0..SPINS {
            if self.begun.load(Ordering::Acquire) != done {
                break;
            }
            std::hint::spin_loop();
        }
        let mut state = self.state();
        while self.begun.load(Ordering::Acquire) == done && !state.is_over {
            state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_over { None } else { state.work }
    }

    fn serve(&self, thread: usize) {
        let mut done = 0;
        while let Some(Work(work)) = self.next(done) {
            done = self.begun.load(Ordering::Acquire);
            // SAFETY: its owner waits until `busy` is 0, which is said after this call.
            let work = unsafe { &*work };
            if catch_unwind(AssertUnwindSafe(|| work(thread))).is_err() {
                self.has_panicked.store(true, Ordering::Relaxed);
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Threads {
    /// The calling thread is one of them.
    pub(super) fn new(count: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut others = Vec::with_capacity(count.saturating_sub(1));
        for thread in 1..count {
            let shared = shared.clone();
            let builder = std::thread::Builder::new().name(format!("engine {thread}"));
            others.push(builder.spawn(move || shared.serve(thread))?);
        }
        Ok(Self { shared, others })
    }

    pub(super) fn count(&self) -> usize {
        self.others.len() + 1
    }

    /// Calls `work` once in each thread, with the thread's number.
    ///
    /// # Panics
    /// If the work does, in any of them.
    pub(super) fn each(&self, work: &(dyn Fn(usize) + Sync)) {
        if self.others.is_empty() {
            return work(0);
        }
        // SAFETY: only the lifetime changes; this function returns after the last call.
        let borrowed = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync), *const (dyn Fn(usize) + Sync)>(
                std::ptr::from_ref(work),
            )
        };
        self.shared.busy.store(self.others.len(), Ordering::Relaxed);
        {
            // within the lock: whoever is about to sleep must not miss it
            let mut state = self.shared.state();
            state.work = Some(Work(borrowed));
            self.shared.begun.fetch_add(1, Ordering::Release);
        }
        self.shared.woken.notify_all();
        let own = catch_unwind(AssertUnwindSafe(|| work(0)));
        let mut spins = 0_usize;
        while self.shared.busy.load(Ordering::Acquire) != 0 {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        let others_panicked = self.shared.has_panicked.swap(false, Ordering::Relaxed);
        if let Err(panic) = own {
            std::panic::resume_unwind(panic);
        }
        assert!(!others_panicked, "an operation panicked in one of its threads");
    }

    /// The rows of `thread`, of so many in all: consecutive, as equal as multiples of `unit` can be.
    pub(super) fn share(&self, thread: usize, rows: usize, unit: usize) -> Range<usize> {
        let units = rows.div_ceil(unit);
        let at = |thread: usize| (units * thread / self.count() * unit).min(rows);
        at(thread)..at(thread + 1)
    }

    /// Cuts slices of rows among the threads: `work` gets its rows, and each slice's part of them.
    /// A slice's second member is the width of its rows.
    pub(super) fn split<T: Send, const N: usize>(
        &self,
        rows: usize,
        slices: [(&mut [T], usize); N],
        work: impl Fn(Range<usize>, [&mut [T]; N]) + Sync,
    ) {
        let nothing: (&mut [()], usize) = (&mut [], 0);
        self.split_with(rows, slices, nothing, |rows, parts, _| work(rows, parts));
    }

    /// The same, and for each thread a part of `own`, which holds so many numbers for each.
    pub(super) fn split_with<T: Send, U: Send, const N: usize>(
        &self,
        rows: usize,
        slices: [(&mut [T], usize); N],
        (own, own_width): (&mut [U], usize),
        work: impl Fn(Range<usize>, [&mut [T]; N], &mut [U]) + Sync,
    ) {
        let whole = slices.map(|(slice, width)| Shares::new(slice, rows, width));
        let own = Shares::new(own, self.count(), own_width);
        self.each(&|thread| {
            let rows = self.share(thread, rows, 1);
            // SAFETY: the shares of two threads do not overlap, and the slices are borrowed mutably
            // until all threads are done.
            let (parts, own) = unsafe {
                (whole.each_ref().map(|shares| shares.part(&rows)), own.part(&(thread..thread + 1)))
            };
            work(rows, parts, own);
        });
    }
}

/// A slice of rows that are about to be shared out.
struct Shares<T> {
    first: *mut T,
    width: usize,
}

// SAFETY: each thread takes rows of its own.
unsafe impl<T: Send> Sync for Shares<T> {}

impl<T> Shares<T> {
    fn new(slice: &mut [T], rows: usize, width: usize) -> Self {
        assert_eq!(slice.len(), rows * width, "{rows} rows of {width}");
        Self { first: slice.as_mut_ptr(), width }
    }

    /// # Safety
    /// The rows lie in the slice, which is borrowed for `'a`; nobody else has any of them.
    unsafe fn part<'a>(&self, rows: &Range<usize>) -> &'a mut [T] {
        let (at, len) = (rows.start * self.width, rows.len() * self.width);
        // SAFETY: as the caller says.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(at), len) }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.is_over = true;
            self.shared.begun.fetch_add(1, Ordering::Release);
        }
        self.shared.woken.notify_all();
        for other in self.others.drain(..) {
            // what it panicked with was said when it happened
            let _ended = other.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_somebodys_once() {
        for count in 1..5 {
            let threads = Threads::new(count).expect("threads");
            for rows in [0, 1, 2, 3, 7, 64, 1001] {
                let (mut ones, mut numbers) = (vec![0_usize; rows], vec![0_usize; 3 * rows]);
                let slices = [(ones.as_mut_slice(), 1), (numbers.as_mut_slice(), 3)];
                threads.split(rows, slices, |rows, [ones, numbers]| {
                    for ((row, one), numbers) in rows.zip(ones).zip(numbers.chunks_exact_mut(3)) {
                        *one += 1;
                        numbers.fill(row);
                    }
                });
                assert!(ones.iter().all(|one| *one == 1));
                let expected: Vec<usize> = (0..3 * rows).map(|at| at / 3).collect();
                assert_eq!(numbers, expected);
            }
        }
    }

    #[test]
    fn much_work_in_a_row_is_all_done() {
        let threads = Threads::new(3).expect("threads");
        let sum = AtomicUsize::new(0);
        for _ in 0..10_000 {
            threads.each(&|thread| {
                sum.fetch_add(thread, Ordering::Relaxed);
            });
        }
        assert_eq!(sum.into_inner(), 30_000);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_threads_go_on() {
        let threads = Threads::new(2).expect("threads");
        for place in 0..2 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                threads.each(&|thread| assert_ne!(thread, place, "on purpose"));
            }));
            assert!(caught.is_err());
        }
        let sum = AtomicUsize::new(0);
        threads.each(&|_| {
            sum.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 2);
    }
}

//! Matrix products by the crate `gemm`, which packs for the cache and multiplies with the widest
//! vectors there are.

#![expect(unsafe_code, reason = "the crate takes pointers; extents are checked here")]

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use gemm::Parallelism;

use crate::planned::Onto;

#[cfg(target_arch = "x86_64")]
pub(super) mod bf16;

/// No processor of another kind has the instructions.
#[cfg(not(target_arch = "x86_64"))]
pub(super) mod bf16 {
    use super::{Onto, View, ViewMut};

    pub(crate) const SCRATCH: usize = 0;

    pub(crate) fn is_here() -> bool {
        false
    }

    pub(crate) fn product(_: ViewMut<'_>, _: Onto, _: View<'_>, _: View<'_>, _: &mut [u32]) {
        unreachable!("an engine is opened where it can run")
    }
}

/// A matrix somewhere in a slice, row-major or transposed.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

/// The same, to be written.
#[derive(Debug)]
pub(super) struct ViewMut<'a> {
    first: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    values: PhantomData<&'a mut [f32]>,
}

/// A matrix whose blocks of columns several threads write, each its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid<'a> {
    first: *mut f32,
    len: usize,
    row_stride: usize,
    values: PhantomData<&'a mut [f32]>,
}

// SAFETY: blocks are taken by `Grid::block` alone, whose caller says that they do not overlap.
unsafe impl Sync for Grid<'_> {}

/// Numbers from the first to the last of a matrix.
fn extent(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    (rows - 1) * row_stride + (columns - 1) * column_stride + 1
}

impl<'a> View<'a> {
    /// Rows that begin `stride` numbers apart.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(extent(rows, columns, stride, 1) <= values.len(), "a matrix within its slice");
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    pub(super) fn dense(values: &'a [f32], columns: usize) -> Self {
        Self::new(values, values.len() / columns, columns, columns)
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    pub(super) fn some_rows(self, rows: &Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "{rows:?} of {}", self.rows);
        let begin = (rows.start * self.row_stride).min(self.values.len());
        Self { values: &self.values[begin..], rows: rows.len(), ..self }
    }

    /// So many rows and columns from these on.
    fn block(&self, top: usize, rows: usize, left: usize, columns: usize) -> Self {
        assert!(top + rows <= self.rows && left + columns <= self.columns, "a block within it");
        let begin = (top * self.row_stride + left * self.column_stride).min(self.values.len());
        Self { values: &self.values[begin..], rows, columns, ..*self }
    }

    /// The columns of a row that lies in one piece.
    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        assert!(row < self.rows && self.column_stride == 1, "row {row} of {}", self.rows);
        &self.values[row * self.row_stride..][..self.columns]
    }
}

impl<'a> ViewMut<'a> {
    pub(super) fn new(values: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(extent(rows, columns, stride, 1) <= values.len(), "a matrix within its slice");
        let first = values.as_mut_ptr();
        Self { first, rows, columns, row_stride: stride, values: PhantomData }
    }

    pub(super) fn dense(values: &'a mut [f32], columns: usize) -> Self {
        let rows = values.len() / columns;
        Self::new(values, rows, columns, columns)
    }

    pub(super) fn some_rows(&mut self, rows: &Range<usize>) -> ViewMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "{rows:?} of {}", self.rows);
        let begin = if rows.is_empty() { 0 } else { rows.start * self.row_stride };
        // SAFETY: the first number of a row that the matrix has.
        let first = unsafe { self.first.add(begin) };
        ViewMut { first, rows: rows.len(), ..*self }
    }

    pub(super) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the columns of a row lie side by side in what is borrowed.
        unsafe {
            std::slice::from_raw_parts_mut(self.first.add(row * self.row_stride), self.columns)
        }
    }
}

impl<'a> Grid<'a> {
    pub(super) fn new(values: &'a mut [f32], columns: usize) -> Self {
        let (first, len) = (values.as_mut_ptr(), values.len());
        Self { first, len, row_stride: columns, values: PhantomData }
    }

    /// # Safety
    /// No other block that is in use has any of these rows' columns.
    pub(super) unsafe fn block(&self, rows: &Range<usize>, columns: &Range<usize>) -> ViewMut<'a> {
        let begin = rows.start * self.row_stride + columns.start;
        let extent = extent(rows.len(), columns.len(), self.row_stride, 1);
        assert!(
            begin + extent <= self.len && columns.end <= self.row_stride,
            "a block within its matrix"
        );
        // SAFETY: just checked.
        let first = unsafe { self.first.add(begin) };
        let (rows, columns) = (rows.len(), columns.len());
        ViewMut { first, rows, columns, row_stride: self.row_stride, values: PhantomData }
    }
}

thread_local! {
    static IS_MULTIPLYING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in the crate `gemm`, which packs into buffers that it allocates.
pub(super) fn is_multiplying() -> bool {
    IS_MULTIPLYING.get()
}

/// out (+)= scale a b, in the calling thread.
#[expect(clippy::needless_pass_by_value, reason = "nobody else has the output meanwhile")]
pub(super) fn product(out: ViewMut<'_>, onto: Onto, scale: f32, a: View<'_>, b: View<'_>) {
    assert!(
        a.columns == b.rows && out.rows == a.rows && out.columns == b.columns,
        "({}, {}) times ({}, {}) into ({}, {})",
        a.rows,
        a.columns,
        b.rows,
        b.columns,
        out.rows,
        out.columns
    );
    let stride = |stride: usize| isize::try_from(stride).expect("memory is smaller");
    IS_MULTIPLYING.set(true);
    // SAFETY: the views' constructors have checked that all their numbers lie in their slices.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            a.columns,
            out.first,
            1,
            stride(out.row_stride),
            onto == Onto::Sum,
            a.values.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.values.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
    IS_MULTIPLYING.set(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against sums in f64, on odd shapes, in every orientation.
    #[test]
    fn products_are_sums_of_products() {
        let number = |at: usize| f32::from(u8::try_from(at * 7 % 23).expect("small")) - 11.0;
        for (m, n, k) in [(1, 1, 1), (1, 5, 3), (17, 1, 33), (5, 7, 0), (33, 47, 65), (64, 16, 32)]
        {
            let a: Vec<f32> = (0..m * k).map(number).collect();
            let b: Vec<f32> = (3..3 + k * n).map(number).collect();
            let turned = |values: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                let at = |place: usize| values[place % rows * columns + place / rows];
                (0..rows * columns).map(at).collect()
            };
            let (a_turned, b_turned) = (turned(&a, m, k), turned(&b, k, n));
            for (a_is_turned, b_is_turned) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let mut out = vec![2.0; m * n];
                let a = if a_is_turned {
                    View::new(&a_turned, k, m, m).transposed()
                } else {
                    View::new(&a, m, k, k)
                };
                let b = if b_is_turned {
                    View::new(&b_turned, n, k, k).transposed()
                } else {
                    View::new(&b, k, n, n)
                };
                product(ViewMut::new(&mut out, m, n, n), Onto::Sum, 0.5, a, b);
                for row in 0..m {
                    for column in 0..n {
                        let at = |view: &View<'_>, i: usize, j: usize| {
                            f64::from(view.values[i * view.row_stride + j * view.column_stride])
                        };
                        let sum: f64 = (0..k).map(|i| at(&a, row, i) * at(&b, i, column)).sum();
                        let got = f64::from(out[row * n + column]);
                        assert!((got - (2.0 + 0.5 * sum)).abs() < 1e-3, "{m} {n} {k}: {got}");
                    }
                }
            }
        }
    }
}

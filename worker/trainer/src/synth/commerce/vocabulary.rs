//! What the tasks name and offer, by the place of a language.

use super::words::{COLORS, LABELS, LANGUAGES, Labels, MATERIALS, RANGES};

/// What stands before a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::synth) enum Label {
    Category,
    Brand,
    Color,
    Material,
    PriceRange,
}

pub(in crate::synth) fn languages() -> &'static [&'static str] {
    &LANGUAGES
}

pub(in crate::synth) fn colors(language: usize) -> Vec<&'static str> {
    COLORS.iter().map(|names| names[language]).collect()
}

pub(in crate::synth) fn materials(language: usize) -> Vec<&'static str> {
    MATERIALS.iter().map(|material| material.names[language]).collect()
}

pub(in crate::synth) fn ranges(language: usize) -> &'static [&'static str; 4] {
    &RANGES[language]
}

pub(in crate::synth) fn label(language: usize, of: Label) -> &'static str {
    let Labels { category, brand, color, material, price_range, .. } = &LABELS[language];
    match of {
        Label::Category => category,
        Label::Brand => brand,
        Label::Color => color,
        Label::Material => material,
        Label::PriceRange => price_range,
    }
}

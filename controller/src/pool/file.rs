//! The pools file: what a platform engineer writes of each pool, by its name.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use super::kubernetes::Settings;

/// # Errors
/// It cannot be read, or says something that pools do not have: the message names the place.
pub fn read(path: &Path) -> anyhow::Result<BTreeMap<String, Settings>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    parse(&text).with_context(|| format!("{shown} is no pools file"))
}

fn parse(text: &str) -> anyhow::Result<BTreeMap<String, Settings>> {
    let pools: BTreeMap<String, serde_yaml::Value> = serde_yaml::from_str(text)?;
    let pool = |(name, value): (String, serde_yaml::Value)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let is_named = !name.is_empty() && name.len() <= 63 && name.chars().all(is_name);
        anyhow::ensure!(is_named, "`{name}` cannot be a name: use letters, digits, `-` and `_`");
        let settings: Settings = serde_yaml::from_value(value).with_context(|| name.clone())?;
        settings.check().with_context(|| name.clone())?;
        Ok((name, settings))
    };
    pools.into_iter().map(pool).collect()
}

//! Which runs of a file another sweep has trained, as far as that is known before their data is prepared.

use std::collections::{BTreeMap, HashMap, HashSet};

use assay_api::ProjectId;
use assay_api::expand::{Expansion, PlannedRun};
use assay_api::result_key::result_key;
use assay_api::spec::RunSpec;
use assay_api::view::RunKind;
use assay_api::worker::{DatasetInput, layout};
use sqlx::PgConnection;

use crate::store::reuse;

/// Points that are trained, if each source is what it was when it was last prepared in the pool.
pub(super) async fn trained(
    db: &mut PgConnection,
    project: ProjectId,
    expansion: &Expansion,
) -> Result<HashSet<String>, sqlx::Error> {
    if !expansion.reuse {
        return Ok(HashSet::new());
    }
    let prepares = expansion.runs.iter().filter(|run| run.kind == RunKind::Prepare);
    let points: Vec<String> = prepares.map(|run| run.point.clone()).collect();
    let pool = &expansion.resources.pool;
    let prepared = reuse::prepared(&mut *db, (project, &expansion.name, pool), &points).await?;
    let prepared: HashMap<String, String> =
        prepared.into_iter().map(|data| (data.point, data.fingerprint)).collect();
    let mut keys: Vec<Option<String>> = Vec::with_capacity(expansion.runs.len());
    for run in &expansion.runs {
        keys.push(key_of(run, expansion, &keys, &prepared));
    }
    let known: Vec<String> = keys.iter().flatten().cloned().collect();
    let known: HashSet<String> =
        reuse::known(db, (project, pool), &known).await?.into_iter().collect();
    let runs = expansion.runs.iter().zip(keys);
    let trained = runs.filter(|(_, key)| key.as_ref().is_some_and(|key| known.contains(key)));
    Ok(trained.map(|(run, _)| run.point.clone()).collect())
}

/// `keys` are those of the runs before it, which are all that it can begin as.
fn key_of(
    run: &PlannedRun,
    expansion: &Expansion,
    keys: &[Option<String>],
    prepared: &HashMap<String, String>,
) -> Option<String> {
    let RunSpec::Train(train) = &run.spec else { return None };
    let (mut data, mut base) = (BTreeMap::new(), None);
    for at in &run.needs {
        let needed = &expansion.runs[*at];
        match &needed.spec {
            RunSpec::Prepare(prepare) => {
                let fingerprint = prepared.get(&needed.point)?;
                let sources = train.data.sources.iter();
                for (name, _) in sources.filter(|(_, files)| **files == prepare.files) {
                    let path = layout::dataset(&needed.point);
                    let input = DatasetInput { path, fingerprint: fingerprint.clone() };
                    data.insert(name.clone(), input);
                }
            }
            RunSpec::Train(_) => base = keys[*at].as_deref(),
            RunSpec::Evaluate(_) => (),
        }
    }
    result_key(&run.point, &data, (&train.model, base))
}

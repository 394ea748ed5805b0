//! Types that are told apart by a word (`kind`), as the document has them: an object of the type, and of
//! another with the word. Where the type knows all its properties, the word is one more, or nothing
//! would be an object of both.

use std::collections::BTreeMap;

use utoipa::openapi::schema::{AdditionalProperties, Object, Schema};
use utoipa::openapi::{OpenApi, RefOr};

pub(super) fn open(doc: &mut OpenApi) {
    let Some(components) = &mut doc.components else { return };
    let words: Vec<_> = components.schemas.values().flat_map(words).collect();
    for (name, properties) in words {
        if let Some(RefOr::T(Schema::Object(closed))) = components.schemas.get_mut(&name)
            && matches!(
                closed.additional_properties.as_deref(),
                Some(AdditionalProperties::FreeForm(false))
            )
        {
            closed.properties.extend(properties);
        }
    }
}

type Properties = BTreeMap<String, RefOr<Schema>>;

/// The types that a schema names beside a word, and the word.
fn words(schema: &RefOr<Schema>) -> Vec<(String, Properties)> {
    let RefOr::T(Schema::OneOf(kinds)) = schema else { return Vec::new() };
    let both = |kind: &RefOr<Schema>| {
        let RefOr::T(Schema::AllOf(both)) = kind else { return None };
        word(&both.items)
    };
    kinds.items.iter().filter_map(both).collect()
}

fn word(both: &[RefOr<Schema>]) -> Option<(String, Properties)> {
    let [RefOr::Ref(named), RefOr::T(Schema::Object(Object { properties, .. }))] = both else {
        return None;
    };
    let name = named.ref_location.rsplit('/').next()?;
    Some((name.to_owned(), properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect()))
}

//! The answers that every operation of a kind can give, written into the document: what cannot be read
//! is refused before its handler is asked.

use super::scope;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

/// Adds to each operation what [`super::extract`] and the routers refuse, and what is a fault of the
/// controller's own.
pub(super) fn add(doc: &mut OpenApi) {
    for (path, item) in &mut doc.paths.paths {
        let of_people = !path.contains("/worker/");
        let operations =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            add_to(operation, of_people);
        }
    }
}

fn add_to(operation: &mut Operation, of_people: bool) {
    let names = |place: ParameterIn| {
        operation.parameters.iter().flatten().any(|parameter| match parameter {
            RefOr::T(parameter) => parameter.parameter_in == place,
            RefOr::Ref(_) => false,
        })
    };
    let mut refusals = vec![
        ("500", "A fault of the controller's own: its log has it"),
        ("503", "The database does not answer: ask again once it does"),
    ];
    if of_people {
        refusals.extend([
            ("401", "Nobody that is known asks"),
            ("403", "Whoever asks may not, or a page of another site makes them ask"),
        ]);
    }
    if names(ParameterIn::Path) || scope::is_named_by(operation) {
        refusals.push(("404", "Nothing of that name"));
    }
    if names(ParameterIn::Query) {
        refusals.push(("422", "A parameter that is unknown, wrong or over a limit"));
    }
    if operation.request_body.is_some() {
        refusals.extend([
            ("400", "The body is no JSON"),
            ("413", "The body is over its limit"),
            ("415", "The body is not `application/json`"),
            ("422", "The body holds what is unknown, wrong or over a limit"),
        ]);
    }
    for (status, what) in refusals {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response =
            ResponseBuilder::new().description(what).content("application/json", problem);
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| response.build().into());
    }
}

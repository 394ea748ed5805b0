//! Which project a request is about: it names it by `?project=`, or means the default.

use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{OpenApi, RefOr, Required};

use super::Error;
use super::guard::{operations, reach};

const NAME: &str = "project";
/// Of its names.
const PATTERN: &str = "^[A-Za-z0-9_-]{1,63}$";

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// What is called by its name in a project.
    Project,
    /// A run, which has its id, and its project with it.
    Run,
    /// One project if the request names one; else all, for whoever has a role in all.
    Wide,
    /// What any role in any project is enough for.
    Anywhere,
    /// All projects: a role in one is not enough.
    Everywhere,
}

/// Takes the name of a project out of a request's query, so that handlers see their own parameters alone.
pub(super) fn take(request: &mut Parts) -> Result<Option<String>, Error> {
    let Some(query) = request.uri.query() else { return Ok(None) };
    let of_project = |pair: &&str| pair.split_once('=').map_or(*pair, |(name, _)| name) == NAME;
    let (mine, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(of_project);
    let name = match mine.as_slice() {
        [] => return Ok(None),
        // no name of a project needs to be escaped
        [one] => one.split_once('=').map_or("", |(_, name)| name).to_owned(),
        [..] => return Err(Error::Invalid("`project` is named more than once".to_owned())),
    };
    let path = request.uri.path();
    let rest = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    let mut parts = request.uri.clone().into_parts();
    parts.path_and_query =
        Some(PathAndQuery::try_from(format!("{path}{rest}")).map_err(anyhow::Error::from)?);
    request.uri = Uri::from_parts(parts).map_err(anyhow::Error::from)?;
    Ok(Some(name))
}

/// Writes the parameter into the document, for each operation that takes it.
pub(super) fn add(doc: &mut OpenApi) {
    let takes: Vec<(Method, String)> = operations(doc)
        .into_iter()
        .filter(|(_, path, name)| {
            !path.contains("/worker/") && matches!(reach(name, path), Reach::Project | Reach::Wide)
        })
        .map(|(method, path, _)| (method, path))
        .collect();
    for (method, path) in takes {
        let Some(item) = doc.paths.paths.get_mut(&path) else { continue };
        let operation = match method {
            Method::GET => &mut item.get,
            Method::POST => &mut item.post,
            Method::PUT => &mut item.put,
            _ => &mut item.delete,
        };
        if let Some(operation) = operation {
            operation.parameters.get_or_insert_default().push(parameter().into());
        }
    }
}

fn parameter() -> Parameter {
    ParameterBuilder::new()
        .name(NAME)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(
            "The project that this is about. Without it: `default`, or the only one that whoever asks has a role in.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some(PATTERN))))
        .build()
}

/// Whether an operation takes the parameter.
pub(super) fn is_named_by(operation: &Operation) -> bool {
    operation.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => {
            parameter.name == NAME && parameter.parameter_in == ParameterIn::Query
        }
        RefOr::Ref(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn taken(uri: &str) -> (Option<String>, String) {
        let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        let name = take(&mut parts).unwrap();
        (name, parts.uri.to_string())
    }

    #[test]
    fn the_project_is_taken_out_and_the_rest_stays() {
        let nlp = || Some("nlp".to_owned());
        assert_eq!(taken("/sweeps"), (None, "/sweeps".to_owned()));
        assert_eq!(taken("/sweeps?project=nlp"), (nlp(), "/sweeps".to_owned()));
        assert_eq!(taken("/a?x=1&project=nlp&y=%20"), (nlp(), "/a?x=1&y=%20".to_owned()));
        assert_eq!(taken("/a?projects=nlp"), (None, "/a?projects=nlp".to_owned()));
        assert_eq!(taken("/a?project"), (Some(String::new()), "/a".to_owned()));
        let twice = Request::get("/a?project=a&project=b").body(()).unwrap();
        assert!(take(&mut twice.into_parts().0).is_err());
    }
}

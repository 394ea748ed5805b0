//! Which role a person of the identity provider has, by what it says of them.

use std::str::FromStr;

use assay_api::sweep::is_name;
use assay_api::view::Role;
use serde_json::{Map, Value};

use super::roles::Roles;

/// What the provider says of a person.
pub type Claims = Map<String, Value>;

/// `groups=ml-platform:admin`, `email=anna@example.com:editor`, or `*:viewer` for everybody it knows. After
/// `@` the one project that it is about: `groups=nlp:editor@nlp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// None: whoever the provider knows.
    claim: Option<(String, String)>,
    role: Role,
    /// None: all of them.
    project: Option<String>,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected a rule such as groups=ml-platform:admin, groups=nlp:editor@nlp or *:viewer, found `{text}`"
            )
        };
        // a value may hold colons, a role holds none
        let (who, role) = text.rsplit_once(':').ok_or_else(expected)?;
        let (role, project) = match role.split_once('@') {
            Some((role, project)) => (role, Some(project)),
            None => (role, None),
        };
        if project.is_some_and(|project| !is_name(project)) {
            return Err(expected());
        }
        let (role, project) = (role.parse()?, project.map(str::to_owned));
        if who == "*" {
            return Ok(Self { claim: None, role, project });
        }
        let (claim, value) = who.split_once('=').ok_or_else(expected)?;
        if claim.is_empty() || value.is_empty() {
            return Err(expected());
        }
        Ok(Self { claim: Some((claim.to_owned(), value.to_owned())), role, project })
    }
}

impl Rule {
    fn matches(&self, claims: &Claims) -> bool {
        let Some((claim, wanted)) = &self.claim else { return true };
        // an address that nobody has verified is what somebody wrote into a form
        if claim == "email" && verified_email(claims).is_none() {
            return false;
        }
        match claims.get(claim) {
            Some(Value::String(value)) => value == wanted,
            Some(Value::Array(values)) => values.iter().any(|value| value == wanted.as_str()),
            Some(Value::Bool(value)) => value.to_string() == *wanted,
            Some(Value::Null | Value::Number(_) | Value::Object(_)) | None => false,
        }
    }
}

/// The highest that the rules give, in all projects and in each that they name; none: no rule is about them.
#[must_use]
pub fn roles(rules: &[Rule], claims: &Claims) -> Option<Roles> {
    let mut roles = Roles::default();
    for rule in rules.iter().filter(|rule| rule.matches(claims)) {
        roles.add(rule.project.as_deref(), rule.role);
    }
    roles.highest().map(|_| roles)
}

/// What the audit log calls a person: what nobody else can be called at this provider.
#[must_use]
pub fn name(claims: &Claims) -> Option<String> {
    let subject = || claims.get("sub")?.as_str();
    Some(verified_email(claims).or_else(subject)?.to_owned())
}

fn verified_email(claims: &Claims) -> Option<&str> {
    let is_verified = claims.get("email_verified") == Some(&Value::Bool(true));
    claims.get("email")?.as_str().filter(|_| is_verified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_highest_role_of_all_rules_that_match_counts() {
        let rules: Vec<Rule> = ["groups=ml:platform:admin", "*:viewer", "email=a@b.c:editor"]
            .map(|rule| rule.parse().unwrap())
            .into();
        let role = |value| roles(&rules, &claims(value)).and_then(|roles| roles.everywhere);
        assert_eq!(role(json!({"sub": "1"})), Some(Role::Viewer));
        assert_eq!(role(json!({"groups": ["x", "ml:platform"]})), Some(Role::Admin));
        assert_eq!(role(json!({"groups": "ml:platform"})), Some(Role::Admin));
        assert_eq!(role(json!({"groups": ["ml"]})), Some(Role::Viewer));
        assert_eq!(role(json!({"email": "a@b.c", "email_verified": true})), Some(Role::Editor));
        assert_eq!(role(json!({"email": "a@b.c"})), Some(Role::Viewer), "nobody verified it");
        assert_eq!(roles(&rules[..1], &claims(json!({"sub": "1"}))), None);
    }

    #[test]
    fn a_rule_may_be_about_one_project() {
        let rules: Vec<Rule> =
            ["groups=nlp:editor@nlp", "groups=ml:viewer", "email=a@b.c:admin@nlp"]
                .map(|rule| rule.parse().unwrap())
                .into();
        let roles = |value| roles(&rules, &claims(value)).unwrap();
        let nlp = roles(json!({"groups": ["nlp"]}));
        assert_eq!(nlp.in_project("nlp"), Some(Role::Editor));
        assert_eq!(nlp.in_project("default"), None);
        let both = roles(json!({"groups": ["nlp", "ml"]}));
        assert_eq!(both.in_project("nlp"), Some(Role::Editor));
        assert_eq!(both.in_project("default"), Some(Role::Viewer));
        let admin = roles(json!({"email": "a@b.c", "email_verified": true}));
        assert_eq!(admin.in_project("nlp"), Some(Role::Admin));
    }

    #[test]
    fn a_person_is_called_by_a_verified_address_or_by_what_the_provider_never_gives_twice() {
        let name = |value| name(&claims(value));
        let both = json!({"sub": "7", "email": "a@b.c", "email_verified": true});
        assert_eq!(name(both).as_deref(), Some("a@b.c"));
        let claimed = json!({"sub": "7", "email": "a@b.c", "preferred_username": "admin"});
        assert_eq!(name(claimed).as_deref(), Some("7"));
        assert_eq!(name(json!({})), None);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "admin",
            "groups:admin",
            "*:viewer@",
            "*:viewer@a/b",
            "*:root@nlp",
            "=x:admin",
            "groups=:admin",
            "groups=x:root",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}

//! Which role a person of the identity provider has, by what it says of them.

use std::str::FromStr;

use assay_api::view::Role;
use serde_json::{Map, Value};

/// What the provider says of a person.
pub type Claims = Map<String, Value>;

/// `groups=ml-platform:admin`, `email=anna@example.com:editor`, or `*:viewer` for everybody it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// None: whoever the provider knows.
    claim: Option<(String, String)>,
    role: Role,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!("expected a rule such as groups=ml-platform:admin or *:viewer, found `{text}`")
        };
        // a value may hold colons, a role holds none
        let (who, role) = text.rsplit_once(':').ok_or_else(expected)?;
        let role = role.parse()?;
        if who == "*" {
            return Ok(Self { claim: None, role });
        }
        let (claim, value) = who.split_once('=').ok_or_else(expected)?;
        if claim.is_empty() || value.is_empty() {
            return Err(expected());
        }
        Ok(Self { claim: Some((claim.to_owned(), value.to_owned())), role })
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

/// The highest that any rule gives.
#[must_use]
pub fn role(rules: &[Rule], claims: &Claims) -> Option<Role> {
    rules.iter().filter(|rule| rule.matches(claims)).map(|rule| rule.role).max()
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
        let role = |value| role(&rules, &claims(value));
        assert_eq!(role(json!({"sub": "1"})), Some(Role::Viewer));
        assert_eq!(role(json!({"groups": ["x", "ml:platform"]})), Some(Role::Admin));
        assert_eq!(role(json!({"groups": "ml:platform"})), Some(Role::Admin));
        assert_eq!(role(json!({"groups": ["ml"]})), Some(Role::Viewer));
        assert_eq!(role(json!({"email": "a@b.c", "email_verified": true})), Some(Role::Editor));
        assert_eq!(role(json!({"email": "a@b.c"})), Some(Role::Viewer), "nobody verified it");
        assert_eq!(super::role(&rules[..1], &claims(json!({"sub": "1"}))), None);
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
        for text in ["", "admin", "groups:admin", "=x:admin", "groups=:admin", "groups=x:root"] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}

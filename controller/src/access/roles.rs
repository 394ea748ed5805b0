//! What somebody may do, and where.

use std::collections::BTreeMap;

use assay_api::view::Role;

use crate::store::project;

/// A role in all projects, and in single ones by name; the higher one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    pub everywhere: Option<Role>,
    pub projects: BTreeMap<String, Role>,
}

impl Roles {
    /// In one project, or in all of them.
    #[must_use]
    pub fn only(project: Option<&str>, role: Role) -> Self {
        let mut roles = Self::default();
        roles.add(project, role);
        roles
    }

    /// Adds a role, where it is higher than what is there.
    pub fn add(&mut self, project: Option<&str>, role: Role) {
        match project {
            None => self.everywhere = self.everywhere.max(Some(role)),
            Some(name) => {
                let held = self.projects.entry(name.to_owned()).or_insert(role);
                *held = role.max(*held);
            }
        }
    }

    #[must_use]
    pub fn in_project(&self, name: &str) -> Option<Role> {
        self.everywhere.max(self.projects.get(name).copied())
    }

    /// The highest that they have in any project.
    #[must_use]
    pub fn highest(&self) -> Option<Role> {
        self.everywhere.max(self.projects.values().copied().max())
    }

    /// The project that is meant where none is named.
    #[must_use]
    pub fn implied(&self) -> Option<&str> {
        if self.in_project(project::DEFAULT).is_some() {
            return Some(project::DEFAULT);
        }
        let mut names = self.projects.keys();
        names.next().filter(|_| names.next().is_none()).map(String::as_str)
    }

    /// Where they have any, in words.
    #[must_use]
    pub fn places(&self) -> String {
        let names: Vec<String> = self.projects.keys().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_of_two_roles_counts_in_a_project() {
        let mut roles = Roles::only(Some("nlp"), Role::Editor);
        assert_eq!(roles.in_project("nlp"), Some(Role::Editor));
        assert_eq!(roles.in_project("default"), None);
        roles.add(None, Role::Viewer);
        assert_eq!(roles.in_project("nlp"), Some(Role::Editor));
        assert_eq!(roles.in_project("default"), Some(Role::Viewer));
        roles.add(None, Role::Admin);
        roles.add(Some("nlp"), Role::Viewer);
        assert_eq!(roles.in_project("nlp"), Some(Role::Admin));
        assert_eq!(roles.projects["nlp"], Role::Editor, "no role takes a higher one back");
    }

    #[test]
    fn the_default_project_is_meant_or_the_only_one() {
        let mut roles = Roles::only(Some("nlp"), Role::Editor);
        assert_eq!(roles.implied(), Some("nlp"));
        roles.add(Some("vision"), Role::Viewer);
        assert_eq!(roles.implied(), None);
        assert_eq!(roles.places(), "`nlp`, `vision`");
        roles.add(Some("default"), Role::Viewer);
        assert_eq!(roles.implied(), Some("default"));
        assert_eq!(Roles::only(None, Role::Viewer).implied(), Some("default"));
    }
}

//! What EXPLAIN says of a program: a line for each part, below it what gives its rows.

use crate::range::Range;
use crate::{Access, Program, Verb};

impl Program {
    /// The lines, without what executes it.
    pub fn explain(&self) -> Vec<String> {
        if let Some(join) = &self.join {
            let joined = above("Join", join.steps().map(|(access, range)| access.explain(range)).collect());
            return if self.aggregates.is_some() { above("Aggregate", joined) } else { joined };
        }
        let Some(access) = &self.access else { return vec!["Result".to_owned()] };
        let table = &access.table.name;
        let found = access.explain(self.range.as_ref());
        let is_range = self.range.is_some();
        match self.verb {
            Verb::Select if self.aggregates.is_some() => above("Aggregate", vec![found]),
            Verb::Select => match self.lock {
                Some(lock) => above(&format!("Lock Rows of {table} {}", lock.words()), vec![found]),
                None => vec![found],
            },
            Verb::Update if is_range => above(&format!("Update on {table}"), vec![found]),
            Verb::Delete if is_range => above(&format!("Delete on {table}"), vec![found]),
            Verb::Update => vec![format!("Update on {table} using {}", access.name())],
            Verb::Delete => vec![format!("Delete on {table} using {}", access.name())],
            Verb::Insert => {
                let action = self.conflict.as_ref().map(|conflict| if conflict.updates() { "UPDATE" } else { "NOTHING" });
                let values = format!("Values: {} rows", self.rows.len());
                let conflict = action.map(|action| format!("Conflict Resolution: {action}"));
                above(&format!("Insert on {table}"), std::iter::once(values).chain(conflict).collect())
            }
        }
    }
}

impl Access {
    fn explain(&self, range: Option<&Range>) -> String {
        match range {
            Some(range) => format!("Range on {} using {}", self.table.name, range.name),
            None => format!("Lookup on {} using {}", self.table.name, self.name()),
        }
    }

    /// The key or unique index that it finds its row by.
    fn name(&self) -> &str {
        let key = self.table.primary_key.as_ref().map(|key| key.name.as_str());
        self.unique.as_ref().map(|unique| unique.name.as_str()).or(key).unwrap_or_default()
    }
}

fn above(line: &str, lines: Vec<String>) -> Vec<String> {
    std::iter::once(line.to_owned()).chain(lines.into_iter().map(|line| format!("  {line}"))).collect()
}

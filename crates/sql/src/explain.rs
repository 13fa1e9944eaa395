//! EXPLAIN and EXPLAIN ANALYZE.

use std::sync::Arc;
use std::time::Duration;

use analytic::ExplainOptions;
use types::{Datum, SqlError, SqlType};

use crate::answer::{Answer, Rows};
use crate::evaluate::used;
use crate::parse::{Command, Explain, ExplainFormat, Statement};
use crate::prepare::{Kind, OutputColumn, OwnPlan, Planned, Prepared};
use crate::query::QueryPlan;
use crate::session::Session;

impl Session {
    pub(crate) async fn run_explain(
        &mut self,
        statement: &Statement,
        inner: &Arc<Prepared>,
        params: &[Datum],
    ) -> Result<Answer, SqlError> {
        let Command::Explain(explain) = statement.command() else { return Err(SqlError::bug("EXPLAIN of nothing")) };
        let params = match explain.statement.command() {
            // The values come with the statement itself.
            Command::Execute { parameters, .. } if !parameters.is_empty() => {
                self.evaluate(parameters, &inner.params.clone()).await?
            }
            _ => params.to_vec(),
        };
        self.begin_statement();
        let lines = self.plan_lines(inner, explain, &params).await?;
        let rows = match explain.format {
            ExplainFormat::Text => lines.into_iter().map(|line| vec![Datum::Text(line.into())]).collect(),
            ExplainFormat::Json => vec![vec![Datum::Text(json(&lines).into())]],
        };
        let columns: Arc<[OutputColumn]> = Arc::new([OutputColumn::plain("QUERY PLAN", SqlType::Text)]);
        Ok(Answer::Rows(Rows::ready(columns, "EXPLAIN", rows)))
    }

    async fn plan_lines(&mut self, inner: &Arc<Prepared>, explain: &Explain, params: &[Datum]) -> Result<Vec<String>, SqlError> {
        let mut planned = if explain.analyze { self.plan_to_run(inner)? } else { self.current_plan(inner)? };
        let options = ExplainOptions {
            analyze: explain.analyze,
            verbose: explain.verbose,
            no_timing: !explain.timing,
            clock: Some(Arc::clone(self.instance.env())),
        };
        let started = self.instance.env().monotonic();
        if let Kind::Point(plan) = &planned.kind {
            match self.explain_point(&planned, plan, explain, params)? {
                Some(lines) => return Ok(self.timed(lines, explain, started)),
                None => planned = Arc::new(OwnPlan(self.general_plan(&inner.statement, &planned, plan)?)),
            }
        }
        let lines = match &planned.kind {
            Kind::Query(QueryPlan::Analytic(plan)) => {
                plan.explain(self.execution(params, Arc::default())?, options.clone()).await?
            }
            Kind::System(plan) => {
                let mut lines = vec!["Executor: catalog".to_owned(), "Query of System Relations".to_owned()];
                if explain.analyze {
                    lines.push(format!("Rows: {}", self.system_rows(plan, params)?.len()));
                }
                lines
            }
            Kind::Query(QueryPlan::SetConfig(_)) => vec!["Executor: session".to_owned(), "Set Config".to_owned()],
            Kind::Insert(_) | Kind::Modify(_) | Kind::Merge(_) | Kind::With(_) => {
                let mut lines = self.writing_lines(&planned, &options, params).await?;
                if explain.analyze {
                    let answer = match &planned.kind {
                        Kind::Insert(plan) => self.run_insert(plan, params).await?.answer(),
                        Kind::Modify(plan) => self.run_modify(plan, params).await?.answer(),
                        Kind::Merge(plan) => self.run_merge(plan, params).await?.answer(),
                        Kind::With(plan) => self.run_with(plan, params, &mut None).await?,
                        _ => return Err(SqlError::bug("this statement writes nothing")),
                    };
                    lines.push(outcome(answer).await?);
                }
                lines
            }
            Kind::Locking(plan) => {
                let shown = ExplainOptions { analyze: false, ..options.clone() };
                let query = plan.source.explain(self.execution(used(&plan.source, params), Arc::default())?, shown).await?;
                let mut lines: Vec<String> = plan.lines().chain(query.into_iter().map(|line| format!("  {line}"))).collect();
                if explain.analyze {
                    lines.push(outcome(self.run_locking(&planned, plan, params).await?).await?);
                }
                lines
            }
            Kind::Point(_) | Kind::Explain(_) | Kind::Declare(_) | Kind::Command => {
                return Err(SqlError::bug("this statement has no plan"));
            }
        };
        Ok(self.timed(lines, explain, started))
    }

    fn timed(&self, mut lines: Vec<String>, explain: &Explain, started: Duration) -> Vec<String> {
        if explain.analyze && explain.timing {
            let took = self.instance.env().monotonic().saturating_sub(started);
            lines.push(format!("Total Time: {:.3} ms", took.as_secs_f64() * 1e3));
        }
        lines
    }

    /// The lines of a statement that writes, which is not run.
    async fn writing_lines(
        &mut self,
        planned: &Planned,
        options: &ExplainOptions,
        params: &[Datum],
    ) -> Result<Vec<String>, SqlError> {
        let Kind::With(plan) = &planned.kind else { return self.part_lines(planned, options, params).await };
        self.fill_empty(plan)?;
        let mut lines = Vec::new();
        for (name, part) in plan.parts() {
            let indent = if let Some(name) = name {
                lines.push(format!("CTE {name}"));
                "  "
            } else {
                ""
            };
            lines.extend(self.part_lines(part, options, params).await?.into_iter().map(|line| format!("{indent}{line}")));
        }
        self.locals.clear();
        Ok(lines)
    }

    async fn part_lines(
        &mut self,
        planned: &Planned,
        options: &ExplainOptions,
        params: &[Datum],
    ) -> Result<Vec<String>, SqlError> {
        let (mut lines, query) = match &planned.kind {
            Kind::Insert(plan) => {
                let mut lines = vec![format!("Insert on {}", plan.table_name())];
                lines.extend(plan.conflict_lines().into_iter().map(|line| format!("  {line}")));
                if plan.query().is_none() {
                    lines.push(format!("  Values: {} rows", plan.values()));
                }
                (lines, plan.query())
            }
            Kind::Modify(plan) => {
                let verb = if plan.command() == "UPDATE" { "Update" } else { "Delete" };
                (vec![format!("{verb} on {}", plan.table_name())], Some(&plan.source))
            }
            Kind::Merge(plan) => (vec![format!("Merge on {}", plan.table_name())], Some(&plan.source)),
            Kind::Query(QueryPlan::Analytic(plan)) => (vec![], Some(plan)),
            Kind::With(_) => return Ok(vec!["Statement with Parts".to_owned()]),
            _ => return Err(SqlError::bug("this statement writes nothing")),
        };
        if let Some(query) = query {
            let shown = ExplainOptions { analyze: false, ..options.clone() };
            let indent = if lines.is_empty() { "" } else { "  " };
            let source = query.explain(self.execution(used(query, params), Arc::default())?, shown).await?;
            lines.extend(source.into_iter().map(|line| format!("{indent}{line}")));
        }
        Ok(lines)
    }
}

/// What a statement has done. Its rows are read to their end.
async fn outcome(answer: Answer) -> Result<String, SqlError> {
    Ok(match answer {
        Answer::Done(tag) => format!("Done: {tag}"),
        Answer::Rows(mut rows) => {
            let mut count = 0;
            while let Some(batch) = rows.next().await? {
                count += batch.rows();
            }
            format!("Done: {count} rows returned")
        }
        _ => "Done".to_owned(),
    })
}

/// PostgreSQL's JSON form, as far as plans here have its parts: a tree of nodes by the lines' indentation.
fn json(lines: &[String]) -> String {
    let mut root = Node::default();
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut path: Vec<usize> = Vec::new();
    for line in lines {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let text = line.trim();
        match text.split_once(": ") {
            Some((name, value)) if depth == 0 && is_fact(name) => facts.push((name.to_owned(), value.to_owned())),
            _ => {
                path.truncate(depth);
                let parent = path.iter().fold(&mut root, |node, at| &mut node.plans[*at]);
                parent.plans.push(Node { text: text.to_owned(), plans: vec![] });
                let at = parent.plans.len() - 1;
                if path.len() == depth {
                    path.push(at);
                }
            }
        }
    }
    let mut out = String::from("[\n  {\n    \"Plan\": ");
    let top = if root.plans.len() == 1 { root.plans.remove(0) } else { Node { text: "Plan".into(), plans: root.plans } };
    top.write(4, &mut out);
    for (name, value) in facts {
        out.push_str(",\n    ");
        out.push_str(&quoted(&name));
        out.push_str(": ");
        out.push_str(&quoted(&value));
    }
    out.push_str("\n  }\n]");
    out
}

/// Lines that say something of the whole statement rather than of a part of its plan.
fn is_fact(name: &str) -> bool {
    const FACTS: [&str; 9] = [
        "Executor",
        "Rows",
        "Rows from delta",
        "Row groups read",
        "Bytes read",
        "Planning Time",
        "Execution Time",
        "Total Time",
        "Done",
    ];
    FACTS.contains(&name)
}

#[derive(Default)]
struct Node {
    text: String,
    plans: Vec<Node>,
}

impl Node {
    fn write(&self, indent: usize, out: &mut String) {
        let pad = " ".repeat(indent);
        let (kind, detail) = self.text.split_once(": ").unwrap_or((&self.text, ""));
        out.push_str(&format!("{{\n{pad}  \"Node Type\": {}", quoted(kind)));
        if !detail.is_empty() {
            out.push_str(&format!(",\n{pad}  \"Details\": {}", quoted(detail)));
        }
        if !self.plans.is_empty() {
            out.push_str(&format!(",\n{pad}  \"Plans\": [\n{pad}    "));
            for (at, plan) in self.plans.iter().enumerate() {
                if at > 0 {
                    out.push_str(&format!(",\n{pad}    "));
                }
                plan.write(indent + 4, out);
            }
            out.push_str(&format!("\n{pad}  ]"));
        }
        out.push_str(&format!("\n{pad}}}"));
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_a_tree_by_indentation() {
        let lines = ["Executor: analytic", "Sort: a \"x\"", "  Scan: t", "Rows: 3"].map(str::to_owned);
        let expected = concat!(
            "[\n  {\n    \"Plan\": {\n      \"Node Type\": \"Sort\",\n      \"Details\": \"a \\\"x\\\"\",\n      \"Plans\": [\n",
            "        {\n          \"Node Type\": \"Scan\",\n          \"Details\": \"t\"\n        }\n      ]\n    },\n",
            "    \"Executor\": \"analytic\",\n    \"Rows\": \"3\"\n  }\n]"
        );
        assert_eq!(json(&lines), expected);
    }
}

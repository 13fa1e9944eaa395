//! EXPLAIN and EXPLAIN ANALYZE.

use std::sync::Arc;

use analytic::ExplainOptions;
use types::{Datum, SqlError, SqlType};

use crate::answer::{Answer, Rows};
use crate::parse::{Command, Explain, ExplainFormat, Statement};
use crate::prepare::{Kind, OutputColumn, Prepared};
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
        let planned = self.current_plan(inner)?;
        let options =
            ExplainOptions { analyze: explain.analyze, verbose: explain.verbose, no_timing: !explain.timing, clock: None };
        let started = self.instance.env().monotonic();
        let mut lines = match &planned.kind {
            Kind::Query(QueryPlan::Analytic(plan)) => plan.explain(self.execution(params, Arc::default())?, options).await?,
            Kind::System(plan) => {
                let mut lines = vec!["Executor: catalog".to_owned(), "Query of System Relations".to_owned()];
                if explain.analyze {
                    lines.push(format!("Rows: {}", self.system_rows(plan, params)?.len()));
                }
                lines
            }
            Kind::Query(QueryPlan::SetConfig(_)) => vec!["Executor: session".to_owned(), "Set Config".to_owned()],
            Kind::Insert(plan) => {
                let mut lines = vec![format!("Insert on {}", plan.table_name())];
                if let Some(query) = plan.query() {
                    let shown = ExplainOptions { analyze: false, ..options };
                    let source = query.explain(self.execution(params, Arc::default())?, shown).await?;
                    lines.extend(source.into_iter().map(|line| format!("  {line}")));
                } else {
                    lines.push(format!("  Values: {} rows", plan.values()));
                }
                if explain.analyze {
                    let answer = self.run_insert(plan, params).await?;
                    lines.push(outcome(&answer));
                }
                lines
            }
            Kind::Modify(plan) => {
                let verb = if plan.command() == "UPDATE" { "Update" } else { "Delete" };
                let mut lines = vec![format!("{verb} on {}", plan.table_name())];
                let shown = ExplainOptions { analyze: false, ..options };
                let source = plan.source.explain(self.execution(params, Arc::default())?, shown).await?;
                lines.extend(source.into_iter().map(|line| format!("  {line}")));
                if explain.analyze {
                    let answer = self.run_modify(inner, &planned, params).await?;
                    lines.push(outcome(&answer));
                }
                lines
            }
            Kind::Point(plan) => self.explain_point(&planned, plan, explain, params)?,
            Kind::Explain(_) | Kind::Declare(_) | Kind::Command => return Err(SqlError::bug("this statement has no plan")),
        };
        if explain.analyze && explain.timing {
            let took = self.instance.env().monotonic().saturating_sub(started);
            lines.push(format!("Total Time: {:.3} ms", took.as_secs_f64() * 1e3));
        }
        Ok(lines)
    }
}

fn outcome(answer: &Answer) -> String {
    match answer {
        Answer::Done(tag) => format!("Done: {tag}"),
        Answer::Rows(rows) => format!("Done: {} rows returned", rows.waiting()),
        _ => "Done".to_owned(),
    }
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

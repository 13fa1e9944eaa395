//! `tpch validate`: each query's rows against the expected answer.

use std::path::Path;
use std::time::Duration;

use bench::{Align, Session, Table as Grid, Target};
use serde::Serialize;
use tokio::time::Instant;
use tpch::Query;
use tpch::answers::Answer;

/// One query's verdict.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) query: usize,
    pub(crate) rows: usize,
    pub(crate) ms: f64,
    pub(crate) equal: bool,
    /// The first differences, or the error.
    pub(crate) differences: Vec<String>,
}

/// Enough to see what kind of difference it is.
const DIFFERENCES_SHOWN: usize = 3;

/// Runs each query and compares. Errors: no session, or an answer that cannot be read.
pub(crate) async fn validate(
    target: &Target,
    queries: &[Query],
    scale: f64,
    answers: Option<&Path>,
) -> Result<Vec<Verdict>, Box<dyn std::error::Error + Send + Sync>> {
    let mut session = target.connect().await?;
    let mut verdicts = Vec::new();
    for query in queries {
        let expected = match answers {
            Some(folder) => Answer::read(query, folder)?,
            None => Answer::stored(query, scale).ok_or_else(|| {
                let stored: Vec<_> = tpch::answers::scales_stored().map(|scale| scale.to_string()).collect();
                format!(
                    "no answers for scale {scale} come with this program (it has {}); make them with \
                     scripts/oracle/tpch_answers.py and name them with --answers DIR",
                    stored.join(" and ")
                )
            })??,
        };
        verdicts.push(judge(&session, query, &expected).await);
        if session.client().is_closed() {
            session = target.connect().await?;
        }
    }
    Ok(verdicts)
}

async fn judge(session: &Session, query: &Query, expected: &Answer) -> Verdict {
    let started = Instant::now();
    let answer = session.text_rows(&format!("run Q{}", query.number), query.text).await;
    let time: Duration = started.elapsed();
    let (rows, mut differences) = match &answer {
        Ok(got) => (got.rows.len(), expected.compare(query, &got.rows).err().unwrap_or_default()),
        Err(error) => (0, vec![error.to_string()]),
    };
    let more = differences.len().saturating_sub(DIFFERENCES_SHOWN);
    differences.truncate(DIFFERENCES_SHOWN);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    Verdict { query: query.number, rows, ms: time.as_secs_f64() * 1e3, equal: differences.is_empty(), differences }
}

/// The verdicts for people.
pub(crate) fn table(verdicts: &[Verdict]) -> Grid {
    let mut grid = Grid::new([("query", Align::Left), ("rows", Align::Right), ("ms", Align::Right), ("", Align::Left)]);
    for verdict in verdicts {
        let word = if verdict.equal { "equal" } else { "DIFFERENT" };
        grid.row([format!("Q{}", verdict.query), verdict.rows.to_string(), format!("{:.1}", verdict.ms), word.into()]);
    }
    grid
}

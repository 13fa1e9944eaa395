//! The tries of R6 on a small database: `bit_rot flips|blocks|files|repairs [--step N] [--seed N] [--scale N]`, or one with more rows.
//!
//! flips: a bit of every `step`th byte of every file. blocks: sectors zeroed and swapped. files: cut, lost, old, in each other's place.
//! repairs: about a `step`th of the flips, repaired. Prints what became of them, and `tries failures` as the last line.

#![allow(clippy::print_stdout, reason = "what it is for")]

use std::process::ExitCode;

use testkit::{SmallDatabase, rot};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next();
    let (mut step, mut seed, mut scale) = (1, 1, 1);
    while let Some(option) = arguments.next() {
        match (option.as_str(), arguments.next().and_then(|value| value.parse().ok())) {
            ("--step", Some(n)) if n > 0 => step = n,
            ("--seed", Some(n)) => seed = n,
            ("--scale", Some(n)) => scale = n as i64,
            _ => return usage(),
        }
    }
    let database = SmallDatabase::times(scale);
    std::panic::set_hook(Box::new(|_| {})); // a try says what it was
    let outcome = match kind.as_deref() {
        Some("flips") => rot::judge_all(&database, rot::flips(&database, step, seed)),
        Some("blocks") => rot::judge_all(&database, rot::blocks(&database).into_iter().skip(seed % step).step_by(step)),
        Some("files") => rot::judge_all(&database, rot::whole_files(&database).into_iter()),
        Some("repairs") => rot::repair_all(&database, rot::flips(&database, step, seed)),
        _ => return usage(),
    };
    for (kind, verdicts) in &outcome.verdicts {
        println!("{kind}: {verdicts:?}");
    }
    for wrong in outcome.wrong.iter().take(20) {
        println!("{wrong}");
    }
    println!("{} {}", outcome.tries(), outcome.wrong.len());
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    println!("bit_rot flips|blocks|files|repairs [--step N] [--seed N] [--scale N]");
    ExitCode::from(2)
}

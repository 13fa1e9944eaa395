//! Tries of a simulated row of the reliability scorecard: `simulate ROW [--tier quick|full] [--seed N] [--from N] [--count N] [--stride N]`.
//!
//! Prints what went wrong in which try, and as the last line the counts as JSON. `scripts/reliability` is what calls it.

#![allow(clippy::print_stdout, reason = "what it is for")]
#![allow(clippy::expect_used, reason = "a tool of tests")]

use std::process::ExitCode;

use testkit::rows::{self, Figures, Tier};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else { return usage() };
    let (mut tier, mut seed, mut from, mut count, mut stride) = (Tier::Quick, 1, 0, u64::MAX, 1);
    while let Some(option) = arguments.next() {
        let Some(value) = arguments.next() else { return usage() };
        let number = value.parse::<u64>();
        match (option.as_str(), value.as_str(), number) {
            ("--tier", "quick", _) => tier = Tier::Quick,
            ("--tier", "full", _) => tier = Tier::Full,
            ("--seed", _, Ok(n)) => seed = n,
            ("--from", _, Ok(n)) => from = n,
            ("--count", _, Ok(n)) => count = n,
            ("--stride", _, Ok(n)) => stride = n.max(1),
            _ => return usage(),
        }
    }
    let Some(row) = rows::row(&name, tier, seed) else { return usage() };
    std::panic::set_hook(Box::new(|_| {})); // a try says what it was
    let mut figures = Figures::new();
    let (mut tries, mut failures) = (0u64, 0u64);
    for number in (from..from.saturating_add(count)).map(|n| n.saturating_mul(stride)).take_while(|n| *n < row.tries()) {
        tries += 1;
        if let Err(what) = rows::try_number(row.as_ref(), number, &mut figures) {
            failures += 1;
            println!("{name} try {number} seed {seed}: {what}");
        }
        if failures >= 20 {
            break;
        }
    }
    let counts: String = figures.iter().map(|(what, n)| format!(", \"{what}\": {n}")).collect();
    println!("{{\"tries\": {tries}, \"failures\": {failures}, \"possible\": {}{counts}}}", row.tries().min(1 << 53));
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    println!("simulate ROW [--tier quick|full] [--seed N] [--from N] [--count N] [--stride N]");
    ExitCode::from(2)
}

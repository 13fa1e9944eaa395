//! A few tries of each simulated row of the reliability scorecard; `scripts/reliability` makes the others.

use testkit::rows::{self, Figures, Tier};

fn tries(name: &str, of: u64) {
    let row = rows::row(name, Tier::Quick, 7).unwrap_or_else(|| panic!("no row {name}"));
    let stride = (row.tries().min(of * 1000) / of).max(1);
    let mut figures = Figures::new();
    for number in (0..of).map(|n| n * stride) {
        rows::try_number(row.as_ref(), number, &mut figures).unwrap_or_else(|what| panic!("{name}, try {number}: {what}"));
    }
}

#[test]
fn a_stop_at_any_call_loses_nothing() {
    tries("durable-calls", 25);
}

#[test]
fn a_failing_call_is_told_and_loses_nothing() {
    tries("failing-calls", 25);
}

#[test]
fn a_disk_full_at_any_page_is_a_pause() {
    tries("full-disk", 8);
}

#[test]
fn a_log_torn_at_any_byte_keeps_what_was_before() {
    tries("torn-tail", 40);
}

#[test]
fn a_stop_at_a_named_place_loses_nothing() {
    tries("points", 25);
}

#[test]
fn a_seed_of_power_losses_loses_nothing_and_repeats_itself() {
    tries("power-loss", 5);
}

//! Local files of packed columns: made when nothing else is due, gone with their segments, and the first to go on a full disk.

use std::time::Duration;

use engine::{Inserted, Options};
use env::Env;

use crate::support::{Machine, by_hand, dir};

/// The names of such files, of all tables.
fn packed(machine: &Machine) -> Vec<String> {
    let data = dir().join("data");
    let tables = machine.env.list(&data).unwrap();
    let names = tables.iter().flat_map(|table| machine.env.list(&data.join(table)).unwrap());
    names.filter(|name| name.contains(".packed")).collect()
}

fn loaded(options: Options) -> Machine {
    let machine = Machine::new(Options { maintenance: true, compact_overlap: 2, ..options });
    machine.commit(|t| assert_eq!(machine.load(t, &[(1, 1), (3, 1), (5, 1)]).unwrap(), 3));
    machine
}

/// The same with some thousand rows more, which are a segment of some pages.
fn loaded_with_more(options: Options) -> Machine {
    let machine = loaded(options);
    let rows: Vec<_> = (10..10_000).map(|k| (k, k)).collect();
    machine.commit(|t| assert_eq!(machine.load(t, &rows).unwrap(), rows.len() as u64));
    machine
}

#[test]
fn each_live_segment_gets_one_and_takes_it_along() {
    let mut machine = loaded(by_hand());
    machine.env.advance(Duration::from_secs(20));
    let first = packed(&machine);
    assert_eq!(first.len(), 1);

    machine.commit(|t| assert_eq!(machine.load(t, &[(2, 1), (4, 1), (6, 1)]).unwrap(), 3));
    machine.env.advance(Duration::from_secs(100));
    let merged = packed(&machine);
    assert!(merged.len() == 1 && merged != first, "{merged:?} after {first:?}");

    machine.kill().unwrap();
    assert_eq!(packed(&machine), merged);
    assert_eq!(machine.rows(), (1..=6).map(|k| (k, 1)).collect());
    assert_eq!(machine.engine().check().unwrap(), []);
}

#[test]
fn none_are_made_beyond_what_they_may_have() {
    let machine = loaded(Options { packed_bytes_max: 0, ..by_hand() });
    machine.env.advance(Duration::from_secs(20));
    assert!(packed(&machine).is_empty());
    let machine = loaded(Options { packed_bytes_max: 10, ..by_hand() });
    machine.env.advance(Duration::from_secs(20));
    assert!(packed(&machine).is_empty());
}

#[test]
fn they_leave_room_on_the_disk() {
    let used = loaded_with_more(Options { packed_bytes_max: 0, ..by_hand() }).env.bytes_used();
    for (free, made) in [(used / 12, false), (used, true)] {
        let machine = loaded_with_more(by_hand());
        machine.env.disk_full_after(free);
        machine.env.advance(Duration::from_secs(20));
        assert_eq!(!packed(&machine).is_empty(), made, "{free} bytes free");
        machine.env.disk_full_after(used / 40);
        machine.env.advance(Duration::from_secs(20));
        assert!(packed(&machine).is_empty());
    }
}

#[test]
fn a_checkpoint_on_a_full_disk_takes_their_room() {
    let machine = loaded_with_more(Options { reserve_bytes: 0, ..by_hand() });
    machine.env.advance(Duration::from_secs(20));
    assert!(!packed(&machine).is_empty());
    machine.commit(|t| assert_eq!(machine.insert(t, 7, 1).unwrap(), Inserted::Done));
    machine.env.disk_full_after(0);
    machine.engine().checkpoint().unwrap();
    assert!(packed(&machine).is_empty());
    machine.env.free_space();
    machine.env.advance(Duration::from_secs(20));
    assert!(!packed(&machine).is_empty());
}

//! Recovery beside what earlier lives of the process have left in the folders.

use engine::Inserted;

use crate::support::{Machine, by_hand};

/// A freeze of redone rows took the next segment id after the manifest's, which a file already had: one of a freeze before the crash,
/// or of the recovery before this one. No later opening did better.
#[test]
fn recovery_freezes_rows_beside_the_files_of_freezes_that_no_manifest_has() {
    let mut machine = Machine::new(by_hand());
    for k in 0..1100 {
        machine.commit(|t| assert_eq!(machine.insert(t, k, k).unwrap(), Inserted::Done));
    }
    let rows = machine.rows();
    machine.engine().merge(None).unwrap();
    machine.options.delta_bytes_max = 1;
    for _ in 0..2 {
        machine.kill().unwrap();
        assert_eq!(machine.rows(), rows);
        assert_eq!(machine.engine().status().tables[0].segments, 1, "redo has frozen rows");
    }
    machine.engine().checkpoint().unwrap();
    machine.kill().unwrap();
    assert_eq!(machine.rows(), rows);
    assert_eq!(machine.files().iter().filter(|name| name.ends_with(".parquet")).count(), 1, "{:?}", machine.files());
}

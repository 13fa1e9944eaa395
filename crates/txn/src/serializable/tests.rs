use std::collections::HashMap;

use env::{Env, SimEnv};

use super::*;
use crate::snapshots::Snapshots;

/// Transactions on keys of one table, by letters: `begin`, `r` and `w` of a key, `u`ndo of what was written, `c`ommit. Commits are visible
/// at once.
struct World {
    all: Arc<Serializable>,
    snapshots: Arc<Snapshots>,
    ts: CommitTs,
    running: HashMap<char, (SerialTransaction, bool, SnapshotGuard)>,
}

const TABLE: TableId = TableId(1);

impl World {
    fn new() -> World {
        let signal = SimEnv::new(1).signal();
        let all = Arc::new(Serializable::new(signal));
        World { all, snapshots: Arc::new(Snapshots::new(CommitTs(10))), ts: CommitTs(10), running: HashMap::new() }
    }

    /// Runs words as `a:r1`; says which one fails first.
    fn run(&mut self, script: &str) -> Option<String> {
        for word in script.split_whitespace() {
            let (name, what) = word.split_once(':').unwrap();
            let name = name.chars().next().unwrap();
            if !self.step(name, what) {
                return Some(word.to_owned());
            }
        }
        None
    }

    fn step(&mut self, name: char, what: &str) -> bool {
        if let "begin" | "readonly" = what {
            let snapshots = Arc::clone(&self.snapshots);
            let (guard, noted) = self.all.begin(what == "readonly", || snapshots.take(None));
            if let Some(noted) = noted {
                self.running.insert(name, (noted, false, guard));
            }
            return true;
        }
        let Some((transaction, wrote, _)) = self.running.get_mut(&name) else { return true };
        let key = &what.as_bytes()[1..];
        match &what[..1] {
            "r" => transaction.read_key(TABLE, key).is_ok(),
            "s" => transaction.read_range(TABLE, Bound::Included(&key[..1]), Bound::Included(&key[1..])).is_ok(),
            "t" => transaction.read_table(TABLE).is_ok(),
            "w" => {
                *wrote = true;
                transaction.write_key(TABLE, key).is_ok()
            }
            "u" => {
                transaction.undo();
                true
            }
            "c" => {
                let ts = wrote.then(|| self.ts.next());
                if transaction.commit(ts).is_err() {
                    return false;
                }
                self.ts = ts.unwrap_or(self.ts);
                self.snapshots.publish(self.ts);
                let (transaction, ..) = self.running.remove(&name).unwrap();
                transaction.end(true, self.ts);
                true
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn dangerous_structures_fail_and_others_do_not() {
    for (script, fails) in [
        // Write skew: the first to commit stays.
        ("a:begin b:begin a:r1 a:r2 b:r1 b:r2 a:w1 b:w2 a:c b:c", Some("b:c")),
        ("a:begin b:begin a:r1 b:r2 a:w2 a:c b:w1 b:c", Some("b:w1")),
        // By a range and by a table.
        ("a:begin b:begin a:s19 b:s19 a:w3 b:w4 b:c a:c", Some("a:c")),
        ("a:begin b:begin a:t b:t a:w3 b:w4 a:c b:c", Some("b:c")),
        ("a:begin b:begin a:s13 b:s13 a:w4 b:w5 a:c b:c", None),
        // One dependency, or one after the other.
        ("a:begin b:begin a:r1 b:w1 b:c a:w2 a:c", None),
        ("a:begin a:r1 a:w2 a:c b:begin b:r2 b:w1 b:c", None),
        // Three in a row: only if the last commits first.
        ("a:begin b:begin c:begin a:r1 b:w1 b:r2 c:w2 c:c b:c a:w9 a:c", Some("b:c")),
        ("a:begin b:begin c:begin a:r1 b:w1 b:r2 a:w9 a:c b:c c:w2 c:c", None),
        ("a:begin b:begin c:begin b:r2 c:w2 c:c b:w1 b:c a:r1 a:c", Some("a:r1")),
        // The read-only anomaly: a reads both, after c and before b.
        ("b:begin b:r1 b:r2 c:begin c:w2 c:c a:readonly a:r1 a:r2 a:c b:w1 b:c", Some("b:w1")),
        // What was written and undone was read: c writes it, a sees that and not what b writes.
        ("b:begin b:w2 b:u c:begin c:w2 c:c a:begin a:r1 a:r2 b:w1 b:c a:c", Some("b:w1")),
        ("b:begin b:w2 b:u c:begin c:w2 c:c b:w1 a:begin a:r2 a:r1 b:c", Some("b:c")),
        ("b:begin b:w2 b:u b:w2 b:u b:w3 b:u c:begin c:w3 c:c b:w1 a:begin a:r3 a:r1 b:c", Some("b:c")),
        ("b:begin b:w2 b:u c:begin c:w3 c:c b:w1 a:begin a:r3 a:r1 b:c a:c", None),
        // A reader whose snapshot is before c is not in danger.
        ("a:begin b:begin b:r2 c:begin d:readonly c:w2 c:c d:r1 d:r2 b:w1 b:c d:c a:c", None),
    ] {
        assert_eq!(World::new().run(script).as_deref(), fails, "{script}");
    }
}

#[test]
fn a_reader_that_nobody_can_be_in_the_way_of_is_not_noted() {
    let mut world = World::new();
    world.run("a:readonly b:begin c:readonly");
    assert_eq!(world.running.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from(['b', 'c']));
}

#[test]
fn nothing_is_kept_once_all_have_ended() {
    let mut world = World::new();
    world.run("a:begin b:begin a:r1 a:s25 a:t b:w1 b:w7 b:c c:begin c:r7 c:w8 c:c a:c");
    assert_eq!(world.all.counts(), (0, 0));
    world.run("a:begin b:begin a:w1 b:r1 a:c");
    assert_eq!(world.all.counts(), (2, 2), "b is in progress");
    world.running.clear();
    assert_eq!(world.all.counts(), (0, 0));
}

#[test]
fn the_oldest_gives_way_when_there_are_too_many_notes() {
    let mut world = World::new();
    Arc::get_mut(&mut world.all).unwrap().notes_max = 10;
    world.run("a:begin a:r1 b:begin");
    let keys = ["b:w2", "b:w3", "b:w4", "b:w5", "b:w6", "b:r7", "b:r8", "b:r9", "b:ra", "b:rb"];
    assert_eq!(world.run(&keys.join(" ")), None);
    assert_eq!(world.run("a:r2").as_deref(), Some("a:r2"));
    assert_eq!(world.run("b:c"), None);
}

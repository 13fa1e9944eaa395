use super::*;

/// What was asked of a log, and what must come back.
struct History {
    /// Every record that may be in the log, with its end.
    records: Vec<Replayed>,
    /// The first so many were acknowledged, or replayed.
    acknowledged: usize,
    /// The first so many are checkpointed: not needed any more.
    checkpointed: usize,
}

impl History {
    fn new() -> History {
        History { records: Vec::new(), acknowledged: 0, checkpointed: 0 }
    }

    fn from(&self) -> Lsn {
        self.end_of(self.checkpointed)
    }

    fn end_of(&self, records: usize) -> Lsn {
        records.checked_sub(1).map_or(Lsn(0), |last| self.records[last].0)
    }

    fn acknowledge(&mut self, durable: Lsn) {
        let acknowledged = self.records.partition_point(|(end, _)| *end <= durable);
        self.acknowledged = self.acknowledged.max(acknowledged);
    }

    /// A prefix of what was appended, and no shorter than what was acknowledged. It is the history from now on.
    fn recovered(&mut self, replayed: Vec<Replayed>, context: &str) {
        let n = self.checkpointed + replayed.len();
        assert!(n >= self.acknowledged, "{context}: {n} records of {} acknowledged ones", self.acknowledged);
        assert!(n <= self.records.len(), "{context}: invented records");
        assert!(replayed == self.records[self.checkpointed..n], "{context}: other records than were appended");
        self.records.truncate(n);
        self.acknowledged = n;
    }

    fn open(&mut self, env: &Arc<SimEnv>, context: &str) -> Wal {
        let (wal, replayed) = open_from(env, self.from()).unwrap_or_else(|error| panic!("{context}: {error}"));
        self.recovered(replayed, context);
        assert!(wal.end() >= self.end_of(self.records.len()) && wal.durable() == wal.end(), "{context}");
        wal
    }
}

/// Random appends, waits, truncations; false once the log has failed, as it may only after `set_crash_at`.
fn work(env: &Arc<SimEnv>, wal: &Wal, history: &mut History, random: &mut SmallRng) -> bool {
    match random.random_range(0..12) {
        0..6 => {
            let len = match random.random_range(0..20) {
                0 => random.random_range(0..40_000),
                1..4 => random.random_range(0..5000),
                _ => random.random_range(0..600),
            };
            let record = bytes(random, len);
            let here = random.random_bool(0.3);
            let append = if here { Wal::stage } else { Wal::append };
            match append(wal, &[&record[..len / 3], &record[len / 3..]]) {
                Ok(end) => history.records.push((end, record)),
                Err(_) => return false,
            }
            if here {
                wal.write_here();
            }
        }
        6..8 => drop(env.run_jobs(random.random_range(1..6))),
        8 => env.advance(std::time::Duration::from_millis(random.random_range(1..100))),
        9..11 => {
            let n = random.random_range(history.acknowledged..=history.records.len());
            if wal.wait_durable(history.end_of(n)).is_err() {
                return false;
            }
        }
        _ => {
            history.acknowledge(wal.durable());
            history.checkpointed = random.random_range(history.checkpointed..=history.acknowledged);
            if wal.truncate_below(history.from()).is_err() {
                return false;
            }
        }
    }
    history.acknowledge(wal.durable());
    true
}

/// Several lives of one log, each ended by a power loss, a kill or a close, some of them during recovery; the hash of all of it.
fn lives(seed: u64) -> u64 {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut env = SimEnv::new(seed);
    let mut history = History::new();
    for life in 0..random.random_range(2..7) {
        let context = format!("seed {seed}, life {life}");
        if random.random_range(0..3) == 0 {
            // The machine stops while it recovers.
            env.set_crash_at(random.random_range(0..12));
            if let Ok((wal, replayed)) = open_from(&env, history.from()) {
                history.recovered(replayed, &context);
                drop(wal);
            }
            env = if random.random() { env.power_loss() } else { env.process_kill() };
        }
        let wal = history.open(&env, &context);
        if random.random_range(0..2) == 0 {
            env.set_crash_at(random.random_range(0..60));
        }
        let mut steps = random.random_range(0..60);
        while steps > 0 && work(&env, &wal, &mut history, &mut random) {
            steps -= 1;
        }
        assert!(steps == 0 || env.has_crashed(), "{context}: the log failed on a well machine");
        let end = random.random_range(0..6);
        if end == 0 && wal.close().is_ok() {
            assert_eq!(wal.durable(), wal.end(), "{context}");
            history.acknowledge(wal.durable());
        }
        env = match end {
            0 | 1 => env.process_kill(),
            _ => env.power_loss(),
        };
        drop(wal);
    }
    history.open(&env, &format!("seed {seed}, at the end"));
    env.trace_hash()
}

#[test]
fn what_was_acknowledged_survives_any_number_of_crashes() {
    for seed in 0..2500 {
        lives(seed);
    }
}

#[test]
fn a_seed_replays_bit_for_bit() {
    for seed in 0..30 {
        assert_eq!(lives(seed), lives(seed), "seed {seed}");
    }
}

/// A fixed life that uses every path: groups of several frames and files, recycling, a mark, a close.
fn script(wal: &Wal, history: &mut History) -> Result<(), WalError> {
    for (n, len) in [10, 300, 9000, 0, 2500, 20_000, 77, 5000, 12_000, 600, 1].into_iter().enumerate() {
        let record = vec![n as u8 + 1; len];
        let end = wal.append(&[&record])?;
        history.records.push((end, record));
        if n % 3 == 2 {
            wal.wait_durable(end)?;
        }
        history.acknowledge(wal.durable());
        if n == 6 {
            history.checkpointed = 4;
            wal.truncate_below(history.from())?;
        }
    }
    wal.close()
}

#[test]
fn a_crash_at_every_call_loses_nothing_acknowledged() {
    let calls = {
        let env = SimEnv::new(7);
        let mut history = History::new();
        let wal = history.open(&env, "without a crash");
        script(&wal, &mut history).unwrap();
        env.mutations()
    };
    assert!(calls > 50);
    for call in 0..=calls {
        let env = SimEnv::new(7);
        env.set_crash_at(call);
        let mut history = History::new();
        if let Ok((wal, _)) = open_from(&env, Lsn(0)) {
            let outcome = script(&wal, &mut history);
            // The last two calls are those of the witness: whether they are done or not, nothing is lost.
            assert!(outcome.is_err() || call + 2 >= calls);
            history.acknowledge(wal.durable());
        }
        for seed in 0..12 {
            let context = format!("crash at {call}, outcome {seed}");
            let mut history = History { records: history.records.clone(), ..history };
            let first = env.crash_clone(seed);
            // Recovery stops at each of its own calls in turn, and another recovery follows.
            first.set_crash_at(seed);
            if let Ok((_, replayed)) = open_from(&first, history.from()) {
                history.recovered(replayed, &context);
            }
            let second = if seed % 2 == 0 { first.power_loss() } else { first.process_kill() };
            let wal = history.open(&second, &context);
            let end = wal.append(&[b"after the crash"]).unwrap();
            wal.wait_durable(end).unwrap();
            history.records.push((end, b"after the crash".to_vec()));
            history.acknowledge(end);
            drop(wal);
            history.open(&second.power_loss(), &context);
        }
    }
}

#[test]
fn two_recoveries_of_one_crash_see_the_same() {
    for seed in 0..300 {
        let env = SimEnv::new(seed);
        let (wal, _) = open(&env);
        let mut random = SmallRng::seed_from_u64(seed);
        for _ in 0..20 {
            let len = random.random_range(0..4000);
            wal.append(&[&bytes(&mut random, len)]).unwrap();
        }
        let env = env.power_loss();
        let (first, replayed) = open(&env);
        let end = first.end();
        drop(first);
        let env = env.power_loss();
        let (second, again) = open(&env);
        assert!(replayed == again && end == second.end(), "seed {seed}");
    }
}

#[test]
fn a_record_cut_in_the_middle_is_dropped_and_the_log_goes_on() {
    let mut cut_within_a_record = 0;
    for seed in 0..200 {
        let env = SimEnv::new(seed);
        let (wal, _) = open(&env);
        let small = wal.append(&[b"small"]).unwrap();
        wal.wait_durable(small).unwrap();
        wal.append(&[&[1; 40_000]]).unwrap(); // three files: the first part is durable before the second is written
        env.set_crash_at(3 + seed % 4);
        env.run_jobs(50);
        let env = env.power_loss();
        let (wal, replayed) = open(&env);
        if replayed.len() == 2 {
            continue;
        }
        assert_eq!(replayed, [(small, b"small".to_vec())]);
        cut_within_a_record += u32::from(wal.end() > small);
        let next = wal.append(&[b"next"]).unwrap();
        assert_eq!(next.0, wal.end().0);
        wal.wait_durable(next).unwrap();
        let env = env.power_loss();
        let expected = [(small, b"small".to_vec()), (next, b"next".to_vec())];
        assert_eq!(open(&env).1, expected, "seed {seed}");
        assert_eq!(open_from(&env, small).unwrap().1, expected[1..], "seed {seed}");
    }
    assert!(cut_within_a_record > 50, "{cut_within_a_record}");
}

#[test]
fn what_a_killed_process_left_unsynced_is_durable_once_it_was_replayed() {
    for seed in 0..200 {
        let env = SimEnv::new(seed);
        let (wal, _) = open(&env);
        env.run_jobs(100);
        wal.append(&[&[1; 300]]).unwrap();
        env.set_crash_at(1); // written, not synced
        env.run_jobs(10);
        let env = env.process_kill();
        let (_wal, replayed) = open(&env);
        assert_eq!(replayed.len(), 1, "the page cache outlives the process");
        assert_eq!(open(&env.power_loss()).1, replayed, "seed {seed}");
    }
}

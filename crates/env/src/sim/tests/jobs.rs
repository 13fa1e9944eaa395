use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn jobs_step_only_while_someone_waits_or_on_demand() {
    let env = SimEnv::new(1);
    let steps = Arc::new(AtomicUsize::new(0));
    let in_job = steps.clone();
    let job = env.spawn(
        "count",
        Priority::Normal,
        Box::new(move || {
            in_job.fetch_add(1, Ordering::Relaxed);
            Next::Again
        }),
    );
    env.exists(&path("a")).unwrap();
    assert_eq!(steps.load(Ordering::Relaxed), 0);
    assert_eq!(env.run_jobs(3), 3);
    assert!(env.signal().wait_until(&mut || steps.load(Ordering::Relaxed) == 5, None));
    assert!(
        !env.signal().wait_until(&mut || false, Some(Duration::from_millis(1))),
        "a job that never rests does not hold up time"
    );
    job.stop();
    assert_eq!(env.run_jobs(3), 0);
}

#[test]
fn time_jumps_to_the_next_sleeper_and_not_past_the_timeout() {
    let env = SimEnv::new(1);
    let woken_at = Arc::new(Mutex::new(Vec::new()));
    let (in_job, clock) = (woken_at.clone(), env.clone());
    let job = env.spawn(
        "sleep",
        Priority::Normal,
        Box::new(move || {
            in_job.lock().push(clock.monotonic().as_secs());
            Next::Sleep(Duration::from_secs(10))
        }),
    );
    env.advance(Duration::from_secs(25));
    assert_eq!(*woken_at.lock(), [0, 10, 20]);
    assert_eq!(env.monotonic().as_secs(), 25);
    job.wake();
    env.run_jobs(2);
    assert_eq!(*woken_at.lock(), [0, 10, 20, 25, 35]);
    assert!(env.signal().wait_until(&mut || woken_at.lock().len() == 7, None));
    assert_eq!(env.monotonic().as_secs(), 55);
    assert_eq!(env.now_micros() - SimEnv::new(1).now_micros(), i64::try_from(env.monotonic().as_micros()).unwrap());
    drop(job);
}

#[test]
fn a_wake_during_a_step_is_not_lost() {
    let env = SimEnv::new(1);
    let handle: Arc<Mutex<Option<Arc<dyn JobHandle>>>> = Arc::default();
    let (in_job, mut steps) = (handle.clone(), 0);
    let job = env.spawn(
        "wakes itself",
        Priority::Normal,
        Box::new(move || {
            steps += 1;
            if steps == 2 {
                return Next::Done;
            }
            in_job.lock().as_ref().unwrap().wake();
            Next::Wait
        }),
    );
    *handle.lock() = Some(job);
    assert_eq!(env.run_jobs(10), 2);
}

#[test]
fn a_wake_during_a_step_cuts_the_sleep_after_it() {
    let env = SimEnv::new(1);
    let handle: Arc<Mutex<Option<Arc<dyn JobHandle>>>> = Arc::default();
    let in_job = handle.clone();
    let work = move || {
        in_job.lock().take().inspect(|handle| handle.wake());
        Next::Sleep(Duration::from_secs(3600))
    };
    let job = env.spawn("wakes itself", Priority::Normal, Box::new(work));
    *handle.lock() = Some(job.clone());
    env.run_jobs(2);
    assert!(env.monotonic() < Duration::from_secs(1));
    drop(job);
}

#[test]
fn which_job_steps_first_comes_from_the_seed() {
    let orders: BTreeSet<Vec<u8>> = (0..50)
        .map(|seed| {
            let (env, order) = (SimEnv::new(seed), Arc::new(Mutex::new(Vec::new())));
            let jobs: Vec<_> = (0..3u8)
                .map(|job| {
                    let order = order.clone();
                    let work = move || {
                        order.lock().push(job);
                        Next::Done
                    };
                    env.spawn("job", Priority::Normal, Box::new(work))
                })
                .collect();
            env.run_jobs(3);
            drop(jobs);
            std::mem::take(&mut *order.lock())
        })
        .collect();
    assert_eq!(orders.len(), 6);
}

#[test]
fn a_job_may_wait_for_another_and_stop_itself() {
    let env = SimEnv::new(3);
    let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handle: Arc<Mutex<Option<Arc<dyn JobHandle>>>> = Arc::default();
    let asker = {
        let (asked, answered, signal, handle) = (asked.clone(), answered.clone(), env.signal(), handle.clone());
        env.spawn(
            "asks",
            Priority::Normal,
            Box::new(move || {
                asked.fetch_add(1, Ordering::Relaxed);
                assert!(signal.wait_until(&mut || answered.load(Ordering::Relaxed) == 1, None));
                handle.lock().as_ref().unwrap().stop();
                Next::Again
            }),
        )
    };
    *handle.lock() = Some(asker);
    let (in_job, in_wait) = (asked.clone(), answered.clone());
    let _answerer = env.spawn(
        "answers",
        Priority::Normal,
        Box::new(move || {
            if in_job.load(Ordering::Relaxed) == 0 {
                return Next::Again;
            }
            answered.store(1, Ordering::Relaxed);
            Next::Done
        }),
    );
    assert!(env.signal().wait_until(&mut || in_wait.load(Ordering::Relaxed) == 1, None));
    env.run_jobs(100);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_wait_that_nothing_can_end_is_reported() {
    let env = SimEnv::new(1);
    assert!(!env.signal().wait_until(&mut || false, Some(Duration::from_secs(3))));
    assert_eq!(env.monotonic().as_secs(), 3);
    let panic = catch_unwind(AssertUnwindSafe(|| env.signal().wait_until(&mut || false, None))).unwrap_err();
    assert!(panic.downcast_ref::<&str>().unwrap().contains("deadlock in simulation"));
}

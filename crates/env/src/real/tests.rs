use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn a_lock_is_the_kernels_too_and_names_its_holder() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("LOCK");
    let other_process = fs::File::create(&path).unwrap();
    let flock = |how| rustix::fs::flock(&other_process, how);
    let env = RealEnv::new();
    flock(rustix::fs::FlockOperation::LockExclusive).unwrap();
    other_process.write_all_at(b"4711\n", 0).unwrap();
    let refused = env.lock(&path).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    assert!(refused.to_string().contains("4711"), "{refused}");
    flock(rustix::fs::FlockOperation::Unlock).unwrap();
    let lock = env.lock(&path).unwrap();
    assert!(env.lock(&path).err().unwrap().to_string().ends_with("by this process"));
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    let contended = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    assert_eq!(flock(contended), Err(rustix::io::Errno::WOULDBLOCK));
    drop(lock);
    flock(contended).unwrap();
}

#[test]
fn a_panic_ends_the_job_and_nothing_else() {
    let env = RealEnv::new();
    let alive = Arc::new(());
    let in_job = alive.clone();
    let job = env.spawn("panics", Priority::Normal, Box::new(move || panic!("{}", Arc::strong_count(&in_job))));
    let ended = env.signal().wait_until(&mut || Arc::strong_count(&alive) == 1, Some(Duration::from_millis(1)));
    job.stop();
    assert!(ended || Arc::strong_count(&alive) == 1, "the job was dropped");
}

#[test]
fn background_jobs_run_at_lower_priority_under_their_name() {
    let env = RealEnv::new();
    for (priority, nice) in [(Priority::Normal, 0), (Priority::Background, 10)] {
        let (told, signal) = (Arc::new(Mutex::new(None)), env.signal());
        let (in_job, tell) = (told.clone(), signal.clone());
        let work = move || {
            let nice = rustix::process::getpriority_process(None).unwrap();
            *in_job.lock() = Some((nice, thread::current().name().map(str::to_owned)));
            tell.notify_all();
            Next::Done
        };
        let before = rustix::process::getpriority_process(None).unwrap();
        let _job = env.spawn("a name", priority, Box::new(work));
        assert!(signal.wait_until(&mut || told.lock().is_some(), Some(Duration::from_secs(20))));
        assert_eq!(*told.lock(), Some(((before + nice).min(19), Some("a name".to_owned()))));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before, "this thread keeps its own");
    }
}

#[test]
fn stop_waits_for_the_step_in_progress() {
    let env = RealEnv::new();
    let (state, signal) = (Arc::new(AtomicUsize::new(0)), env.signal());
    let (in_job, tell) = (state.clone(), signal.clone());
    let work = move || {
        in_job.store(1, Ordering::SeqCst);
        tell.notify_all();
        thread::sleep(Duration::from_millis(50));
        in_job.store(2, Ordering::SeqCst);
        Next::Again
    };
    let job = env.spawn("slow", Priority::Normal, Box::new(work));
    assert!(signal.wait_until(&mut || state.load(Ordering::SeqCst) == 1, None));
    job.stop();
    assert_eq!(state.load(Ordering::SeqCst), 2);
}

#[test]
fn a_job_may_stop_itself() {
    let env = RealEnv::new();
    let handle: Arc<Mutex<Option<Arc<dyn JobHandle>>>> = Arc::default();
    let (in_job, signal) = (handle.clone(), env.signal());
    let (steps, tell) = (Arc::new(AtomicUsize::new(0)), signal.clone());
    let in_step = steps.clone();
    let work = move || {
        let Some(handle) = in_job.lock().take() else { return Next::Sleep(Duration::from_millis(1)) };
        handle.stop();
        drop(handle); // the last one: stops again
        in_step.fetch_add(1, Ordering::SeqCst);
        tell.notify_all();
        Next::Again
    };
    *handle.lock() = Some(env.spawn("stops itself", Priority::Normal, Box::new(work)));
    assert!(signal.wait_until(&mut || steps.load(Ordering::SeqCst) == 1, Some(Duration::from_secs(20))));
    assert!(!signal.wait_until(&mut || steps.load(Ordering::SeqCst) > 1, Some(Duration::from_millis(20))));
}

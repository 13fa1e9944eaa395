//! Local files as an object store.

use std::sync::Arc;

use bytes::Bytes;
use env::{Env, SimEnv};
use futures::TryStreamExt;
use futures::executor::block_on;
use object_store::path::Path;
use object_store::{CopyMode, CopyOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use segments::LocalStore;

fn store(env: &Arc<SimEnv>) -> LocalStore {
    LocalStore::new(Arc::clone(env) as Arc<dyn Env>, "/store")
}

fn names(store: &LocalStore, prefix: Option<&str>) -> Vec<(String, u64)> {
    let found: Vec<_> = block_on(store.list(prefix.map(Path::from).as_ref()).try_collect()).unwrap();
    let mut names: Vec<_> = found.into_iter().map(|meta| (meta.location.to_string(), meta.size)).collect();
    names.sort();
    names
}

#[test]
fn objects_are_put_read_listed_and_deleted() {
    let env = SimEnv::new(1);
    let store = store(&env);
    let (a, b) = (Path::from("t/a.parquet"), Path::from("t/below/b"));
    assert_eq!(names(&store, None), []);
    block_on(store.put(&a, Bytes::from_static(b"0123456789").into())).unwrap();
    block_on(store.put(&b, Bytes::from_static(b"xy").into())).unwrap();
    assert_eq!(names(&store, None), [("t/a.parquet".into(), 10), ("t/below/b".into(), 2)]);
    assert_eq!(names(&store, Some("t/below")), [("t/below/b".into(), 2)]);
    assert_eq!(names(&store, Some("nothing")), []);
    let listed = block_on(store.list_with_delimiter(Some(&Path::from("t")))).unwrap();
    assert_eq!((listed.objects.len(), listed.common_prefixes), (1, vec![Path::from("t/below")]));

    assert_eq!(block_on(store.head(&a)).unwrap().size, 10);
    assert_eq!(block_on(async { store.get(&a).await?.bytes().await }).unwrap(), "0123456789");
    assert_eq!(block_on(store.get_range(&a, 2..5)).unwrap(), "234");
    let kept = store.keep_open(&a).unwrap();
    assert_eq!(block_on(store.get_ranges(&a, &[0..1, 8..10])).unwrap(), ["0", "89"]);
    drop(kept);
    assert!(block_on(store.get_ranges(&a, &[0..1, 8..11])).is_err(), "a range beyond the end is an error, not fewer bytes");

    block_on(store.copy_opts(&a, &b, CopyOptions::default())).unwrap();
    assert_eq!(block_on(store.head(&b)).unwrap().size, 10);
    let create = CopyOptions::new().with_mode(CopyMode::Create);
    assert!(matches!(block_on(store.copy_opts(&a, &b, create)), Err(Error::AlreadyExists { .. })));
    block_on(store.delete(&b)).unwrap();
    assert!(matches!(block_on(store.head(&b)), Err(Error::NotFound { .. })));
    assert!(matches!(block_on(store.delete(&b)), Err(Error::NotFound { .. })));
}

#[test]
fn a_name_can_be_taken_once() {
    let env = SimEnv::new(2);
    let store = store(&env);
    let path = Path::from("m/1");
    let create = || PutOptions::from(PutMode::Create);
    block_on(store.put_opts(&path, Bytes::from_static(b"first").into(), create())).unwrap();
    let second = block_on(store.put_opts(&path, Bytes::from_static(b"second").into(), create()));
    assert!(matches!(second, Err(Error::AlreadyExists { .. })));
    assert_eq!(block_on(async { store.get(&path).await?.bytes().await }).unwrap(), "first");
    assert_eq!(names(&store, None), [("m/1".into(), 5)], "no temporary name is left");
    let update = PutOptions::from(PutMode::Update(object_store::UpdateVersion { e_tag: None, version: None }));
    let refused = block_on(store.put_opts(&path, Bytes::new().into(), update));
    assert!(matches!(refused, Err(Error::NotImplemented { .. })));
}

#[test]
fn what_was_put_survives_a_power_loss_whole() {
    for stop in 0..40 {
        let env = SimEnv::new(stop);
        let path = Path::from("d/x");
        block_on(store(&env).put(&path, Bytes::from(vec![1; 9_000]).into())).unwrap();
        env.set_crash_at(stop);
        let second = block_on(store(&env).put(&path, Bytes::from(vec![2; 9_000]).into()));
        let env = env.power_loss();
        let found = block_on(async { store(&env).get(&path).await?.bytes().await }).unwrap();
        assert!(found == vec![2; 9_000] || (second.is_err() && found == vec![1; 9_000]), "stopped after {stop}");
    }
}

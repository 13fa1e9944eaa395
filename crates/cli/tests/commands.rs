//! The binary, as it is called.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "files of the user's, not the database's")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn colonnade(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colonnade"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

/// What the command prints; it must end well.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = colonnade(folder, arguments).output().unwrap();
    assert!(status.success(), "{arguments:?}: {status}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// A folder with a data directory `data`, which has a table `one`.
fn with_data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.csv"), "n\n1\n").unwrap();
    done(folder.path(), &["import", "--data", "data", "one", "one.csv", "--create"]);
    folder
}

#[test]
fn import_reads_what_export_writes() {
    let folder = with_data();
    let sql = |text: &str| done(folder.path(), &["sql", "--data", "data", "--format", "csv", "-c", text]);
    for (columns, rows) in [
        ("v int", "(1), (null), (3)"),
        ("v text", "(''), (null), ('\\.'), ('a')"),
        ("v text, n int", "('', null), (null, 1), (null, null)"),
    ] {
        sql(&format!("create table a ({columns}); create table b ({columns}); insert into a values {rows}"));
        done(folder.path(), &["export", "--data", "data", "a", "a.csv"]);
        done(folder.path(), &["import", "--data", "data", "b", "a.csv"]);
        let counts = "count(*), count(v), count(nullif(v::text, ''))";
        assert_eq!(sql(&format!("select {counts} from b")), sql(&format!("select {counts} from a")), "{rows}");
        sql("drop table a; drop table b");
    }
}

#[test]
fn a_value_that_an_inferred_column_would_change_is_rejected() {
    let folder = with_data();
    let mut rows = "price,day\n".to_owned();
    rows.push_str(&"1.25,2026-01-01\n".repeat(100_000));
    rows.push_str("1.23999,2026-01-01\n1.25,2026-01-02 23:59:00\n1.50,2026-01-03\n");
    std::fs::write(folder.path().join("late.csv"), rows).unwrap();
    let arguments = ["import", "--data", "data", "late", "late.csv", "--create", "--rejects", "bad.csv"];
    let output = colonnade(folder.path(), &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let bad = std::fs::read_to_string(folder.path().join("bad.csv")).unwrap();
    let places: Vec<&str> = bad.lines().skip(1).map(|line| line.split(",\"").next().unwrap()).collect();
    assert_eq!(places, ["late.csv,100002,price", "late.csv,100003,day"]);
}

#[test]
fn digits_and_decimals_of_imported_values_are_kept() {
    let folder = with_data();
    let text = "\
account,rest,taken,ratio
1234567890123456789012345678901234567890,12345678901234567890123456789012345678,2024-01-02 03:04:05.1234567,0.1
1234567890123456789012345678901234567891,1.5,2024-01-02 03:04:05,1e5
";
    std::fs::write(folder.path().join("long.csv"), text).unwrap();
    done(folder.path(), &["import", "--data", "data", "long", "long.csv", "--create"]);
    let rows = done(folder.path(), &["sql", "--data", "data", "--format", "csv", "-c", "select * from long order by 1"]);
    assert_eq!(rows, text.replace("1e5", "100000"));
}

#[test]
fn a_header_is_read_or_its_fault_told() {
    let folder = with_data();
    let import = |name: &str, text: &str, more: &[&str]| {
        let file = format!("{name}.csv");
        std::fs::write(folder.path().join(&file), text).unwrap();
        fails(folder.path(), &[&["import", "--data", "data", name, &file, "--create"], more].concat())
    };
    for (name, text, hint) in [
        ("semicolons", "a;b\n1;2\n", "is the delimiter ';'? use --delimiter ';'"),
        ("tabs", "a\tb\n1\t2\n", "is the delimiter '\\t'? use --delimiter '\\t'"),
        ("twice", "a,b,a\n1,2,3\n", "its header names column a twice"),
        ("folded", "a,b,A\n1,2,3\n", "its header names column a twice"),
        ("gone.t", "a\n1\n", "schema \"gone\" does not exist"),
    ] {
        let (code, said) = import(name, text, &[]);
        assert!(code != 0 && said.contains(hint) && !said.contains("without --create"), "{name}: {said}");
    }
    assert!(import("one", "n\n1\n", &[]).1.contains("without --create"));
    assert_eq!(import("tab", "a\tb\n1\t2\n", &["--delimiter", "\\t"]).0, 0);
    assert_eq!(import("unnamed", ",b\n1,2\n", &[]).0, 0);
    let rows = |text| done(folder.path(), &["sql", "--data", "data", "--format", "csv", "-c", text]);
    assert_eq!(rows("select * from tab"), "a,b\n1,2\n");
    assert_eq!(rows("select * from unnamed"), "column1,b\n1,2\n");
}

#[test]
fn a_violated_check_names_the_file_and_its_lines() {
    let folder = with_data();
    done(folder.path(), &["sql", "--data", "data", "-c", "create table small (n int check (n < 20000))"]);
    let rows: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    std::fs::write(folder.path().join("small.csv"), format!("n\n{rows}")).unwrap();
    let (code, said) = fails(folder.path(), &["import", "--data", "data", "small", "small.csv"]);
    assert!(code == 1 && said.contains("23514") && said.contains("at small.csv, lines 16386 to 20001"), "{said}");
}

#[test]
fn a_hint_is_about_what_is_wrong() {
    let folder = with_data();
    let (_, said) = fails(folder.path(), &["serve", "--data", "data", "--listen", "0.0.0.0:0", "--auth", "trust"]);
    assert!(said.contains("scram") && !said.contains("port 0"), "{said}");
    let with_format = |text: &str| {
        std::fs::write(folder.path().join("data/FORMAT"), text).unwrap();
        fails(folder.path(), &["check", "--data", "data"])
    };
    let (code, said) = with_format("colonade 1\n");
    assert!(code == 3 && said.contains("FORMAT: \"colonade 1\\n\" is not a format") && !said.contains("log position"), "{said}");
    let (code, said) = with_format("colonnade 9\n");
    assert!(
        code == 1 && said.contains("colonnade 9, which this version does not know") && said.contains("a later one"),
        "{said}"
    );
}

#[test]
fn rejects_are_those_of_the_last_import() {
    let folder = with_data();
    let rejects = folder.path().join("one.rejects.csv");
    let import = |text: &str| {
        std::fs::write(folder.path().join("more.csv"), text).unwrap();
        colonnade(folder.path(), &["import", "--data", "data", "one", "more.csv"]).output().unwrap().status.code()
    };
    assert_eq!(import("n\nx\n"), Some(4));
    assert_eq!(import("n\ny\n"), Some(4));
    assert!(std::fs::read_to_string(&rejects).unwrap().contains("\"\"y\"\""));
    assert_eq!(import("n\n2\n"), Some(0));
    assert!(!rejects.exists());
}

#[test]
fn nobody_has_to_read_standard_error() {
    let folder = with_data();
    let mut child = colonnade(folder.path(), &["import", "--data", "data", "two", "one.csv", "--create"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_to_talk_about() {
    let folder = with_data();
    let text = "select x from generate_series(1, 100000) as g (x)";
    let mut child = colonnade(folder.path(), &["sql", "--data", "data", "--format", "csv", "-c", text])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((first.as_str(), said.as_str()), ("x\n", ""));
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

/// What the command says when it fails, and its exit code.
fn fails(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = colonnade(folder, arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_no_data_directory_stays_as_it_is() {
    let folder = with_data();
    let others = folder.path().join("others");
    std::fs::create_dir(&others).unwrap();
    std::fs::write(others.join("letter.txt"), "dear").unwrap();
    for (directory, arguments) in [
        ("typo", &["sql", "-c", "select 1"][..]),
        ("typo", &["check"]),
        ("typo", &["export", "one", "out.csv"]),
        ("others", &["check"]),
        ("others", &["sql", "-c", "select 1"]),
        ("others", &["serve", "--auth", "trust", "--listen", "127.0.0.1:0"]),
        ("others", &["import", "two", "one.csv", "--create"]),
    ] {
        let arguments = [&arguments[..1], &["--data", directory], &arguments[1..]].concat();
        let (code, said) = fails(folder.path(), &arguments);
        assert_eq!(code, 1, "{arguments:?}: {said}");
        assert!(said.contains(&format!("{directory} is no data directory")), "{arguments:?}: {said}");
    }
    assert!(!folder.path().join("typo").exists());
    let names: Vec<_> = std::fs::read_dir(&others).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["letter.txt"]);
}

#[test]
fn a_directory_that_has_lost_files_is_damaged() {
    let folder = with_data();
    let data = folder.path().join("data");
    for (lost, expected, said) in [("FORMAT", 1, "no file FORMAT"), ("manifest", 3, "no manifest"), ("wal", 3, "folder wal")] {
        std::fs::rename(data.join(lost), folder.path().join(lost)).unwrap();
        for arguments in [&["check", "--data", "data"][..], &["sql", "--data", "data", "-c", "select 1"]] {
            let (code, message) = fails(folder.path(), arguments);
            assert!(code == expected && message.contains(said), "{lost}: {code} {message}");
        }
        std::fs::rename(folder.path().join(lost), data.join(lost)).unwrap();
    }
    assert!(done(folder.path(), &["check", "--data", "data"]).contains("nothing is wrong"));
}

/// What is damaged may be all there is: a check writes no manifest and cuts no log, however long.
#[test]
fn a_check_leaves_manifest_and_log_as_they_are() {
    let folder = with_data();
    let mut server = colonnade(folder.path(), &["serve", "--data", "data", "--auth", "trust", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = format!("postgres://postgres@{}/postgres", line.trim().strip_prefix("listening on ").unwrap());
    let rows = "create table t (a text); insert into t select repeat('x', 200) from generate_series(1, 10000) as g";
    done(folder.path(), &["sql", "--url", &url, "-c", rows]);
    server.kill().unwrap();
    server.wait().unwrap();
    let names = |of: &str| {
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path().join("data").join(of)).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names("manifest");
    assert!(done(folder.path(), &["check", "--data", "data"]).contains("nothing is wrong"));
    assert_eq!(names("manifest"), before);
    // Whoever goes on with it has one made.
    done(folder.path(), &["sql", "--data", "data", "-c", "select 1"]);
    assert_ne!(names("manifest"), before);
}

#[cfg(unix)]
#[test]
fn others_cannot_enter_a_data_directory() {
    use std::os::unix::fs::PermissionsExt;
    let folder = with_data();
    assert_eq!(std::fs::metadata(folder.path().join("data")).unwrap().permissions().mode() & 0o777, 0o700);
}

//! Whole conversations, message by message as PostgreSQL 15 has them (`scripts/oracle/wire.py` records them and describes the files).

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // it reads its own fixtures

mod common;

use std::collections::HashMap;

use common::{Answer, Raw, fixture, message, start};
use tokio::net::TcpStream;

macro_rules! conversations {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                converse(stringify!($name)).await;
            }
        )*

        #[test]
        fn no_conversation_is_left_out() {
            let files = std::fs::read_dir(fixture("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = files.filter_map(|name| name.strip_suffix(".wire").map(str::to_owned)).collect();
            names.sort();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

conversations! {
    copy
    extended
    extended_errors
    malformed
    pipeline
    portals
    settings
    simple
    simple_transactions
    types
}

async fn converse(name: &str) {
    let running = start().await;
    let mut raw = running.log_in().await;
    let mut oids = HashMap::new();
    let text = std::fs::read_to_string(fixture(&format!("{name}.wire"))).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (mut pending, mut cycles, mut differences) = (vec![], 0, vec![]);
    let mut i = 0;
    while i < lines.len() {
        let line = lines[i];
        i += 1;
        if let Some(sent) = line.strip_prefix('>') {
            let bytes = encode(sent);
            cycles += usize::from(matches!(bytes[0], b'Q' | b'S'));
            pending.extend(bytes);
        } else if let Some(until) = line.strip_prefix('.') {
            raw.send(&std::mem::take(&mut pending)).await;
            let actual = receive(&mut raw, until.trim(), cycles, &mut oids).await;
            let end = lines[i..].iter().position(|line| !line.starts_with('<')).map_or(lines.len(), |n| i + n);
            if actual != lines[i..end] {
                differences.push(format!("line {i}\n  expected {:#?}\n  got {actual:#?}", &lines[i..end]));
            }
            cycles = 0;
            i = end;
        }
    }
    assert!(differences.is_empty(), "{name}: {}", differences.join("\n"));
}

async fn receive(raw: &mut Raw<TcpStream>, until: &str, cycles: usize, oids: &mut HashMap<u32, u32>) -> Vec<String> {
    let cycles = until.strip_prefix("ready ").map_or(cycles, |n| n.parse().unwrap());
    let count: Option<usize> = until.parse().ok();
    let (mut shown, mut ready) = (vec![], 0);
    loop {
        let complete = match (until, count) {
            ("end", _) => false,
            (_, Some(count)) => shown.len() == count,
            _ => ready == cycles,
        };
        if complete {
            return shown;
        }
        let Some(answer) = raw.answer().await else {
            shown.push("< end".to_owned());
            return shown;
        };
        ready += usize::from(answer.tag == b'Z');
        shown.push(format!("< {} {}", show(&[answer.tag]), show(&normalized(answer, oids))));
    }
}

/// As the script does: no source positions, oids of user tables in order of appearance.
fn normalized(answer: Answer, oids: &mut HashMap<u32, u32>) -> Vec<u8> {
    match answer.tag {
        b'E' | b'N' => {
            let fields = answer.body.split(|byte| *byte == 0).filter(|field| !field.is_empty() && !b"FLR".contains(&field[0]));
            let mut body = fields.flat_map(|field| [field, b"\0"].concat()).collect::<Vec<u8>>();
            body.push(0);
            body
        }
        b'T' => {
            let mut body = answer.body;
            let mut at = 2;
            for _ in 0..u16::from_be_bytes([body[0], body[1]]) {
                at += body[at..].iter().position(|byte| *byte == 0).unwrap() + 1;
                let oid = u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
                if oid >= 16384 {
                    let next = 16384 + oids.len() as u32;
                    body[at..at + 4].copy_from_slice(&oids.entry(oid).or_insert(next).to_be_bytes());
                }
                at += 18;
            }
            body
        }
        _ => answer.body,
    }
}

fn show(bytes: &[u8]) -> String {
    let characters = bytes.iter().map(|byte| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(*byte)),
        0x20..0x7f => char::from(*byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    });
    format!("\"{}\"", characters.collect::<String>())
}

/// The bytes of a `>` line.
fn encode(line: &str) -> Vec<u8> {
    let mut rest = line.trim_start();
    let mut parts: Vec<Vec<u8>> = vec![];
    while !rest.is_empty() {
        let (part, after) = if let Some(quoted) = rest.strip_prefix("b\"") {
            string(quoted)
        } else if let Some(quoted) = rest.strip_prefix("v:\"") {
            let (value, after) = string(quoted);
            ([&(value.len() as u32).to_be_bytes()[..], &value].concat(), after)
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (text, after) = string(quoted);
            // The first one is the message's type.
            (if parts.is_empty() { text } else { [text, vec![0]].concat() }, after)
        } else {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            let bytes = match word.split_once(':') {
                Some(("i16", n)) => n.parse::<i16>().unwrap().to_be_bytes().to_vec(),
                Some(("i32", n)) => n.parse::<i32>().unwrap().to_be_bytes().to_vec(),
                Some(("v", "null")) => (-1i32).to_be_bytes().to_vec(),
                _ => vec![word.parse().unwrap_or_else(|_| panic!("what is {word}?"))],
            };
            (bytes, after)
        };
        parts.push(part);
        rest = after.trim_start();
    }
    message(parts[0][0], &[&parts[1..].concat()])
}

/// Up to the closing quote, and what follows it.
fn string(text: &str) -> (Vec<u8>, &str) {
    let mut bytes = vec![];
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (bytes, &text[at + 1..]),
            '\\' => match characters.next().unwrap().1 {
                'n' => bytes.push(b'\n'),
                't' => bytes.push(b'\t'),
                'x' => {
                    let (start, _) = characters.next().unwrap();
                    characters.next().unwrap();
                    bytes.push(u8::from_str_radix(&text[start..start + 2], 16).unwrap());
                }
                other => bytes.push(other as u8),
            },
            character => bytes.push(character as u8),
        }
    }
    panic!("no closing quote: {text}");
}

//! Fuzz targets: code that reads bytes of a disk, a client or a file, given seeds of good bytes that were bent.
//!
//! ```text
//! seeds --bend: flip, set, cut, repeat, splice, edge numbers--> seal: right checksums, mostly --> run
//! ```
//!
//! 1. A target may refuse, with an error. It may not panic, take longer than a second, or allocate more than [`Target::bytes_max`].
//! 2. Everything follows from the seed and the number of the run.
//!
//! Not here: counting allocations and time (`bin/fuzz`). Inputs are bent blindly, without regard to which code they reach; what is behind
//! a checksum is reached because the checksum is made right after the bending.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use env::{Env, OpenMode, SimEnv};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore};
use segments::{DumpInfo, DumpReader, Manifest};
use types::{CommitTs, Datum, Decimal, Interval, RowLayout, SqlType, TableId};

use crate::rot::SmallDatabase;

/// Something that reads bytes.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Good inputs.
    pub seeds: Vec<Vec<u8>>,
    /// Makes the checksums right, if it has some.
    pub seal: fn(&mut [u8]),
    /// Reads the bytes.
    pub run: fn(&[u8]),
    /// Bytes it may allocate in all, for each byte of input, beside [`BYTES_FIXED`].
    pub bytes_per_byte: usize,
}

/// What any run may allocate.
pub const BYTES_FIXED: usize = 64 << 10;

impl Target {
    /// The most a run of so many bytes may allocate in all.
    pub fn bytes_max(&self, len: usize) -> usize {
        BYTES_FIXED + len * self.bytes_per_byte
    }
}

/// Longest input.
const LEN_MAX: usize = 64 << 10;

/// A bent copy of one of the seeds.
pub fn bend(target: &Target, random: &mut SmallRng, into: &mut Vec<u8>) {
    let seed = &target.seeds[random.random_range(0..target.seeds.len())];
    into.clear();
    into.extend_from_slice(seed);
    for _ in 0..1 << random.random_range(0..4) {
        bend_once(target, random, into);
    }
    into.truncate(LEN_MAX);
    // What is behind a checksum is worth more than the checksum.
    if random.random_bool(0.95) {
        (target.seal)(into);
    }
}

fn bend_once(target: &Target, random: &mut SmallRng, bytes: &mut Vec<u8>) {
    const EDGES: [u64; 10] = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, u64::MAX];
    if bytes.is_empty() {
        bytes.push(random.random());
    }
    let at = random.random_range(0..bytes.len());
    let len = random.random_range(1..=16.min(bytes.len() - at).max(1));
    match random.random_range(0..8) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 => {
            let edge = EDGES[random.random_range(0..EDGES.len())];
            let width = [1, 2, 4, 8][random.random_range(0..4)];
            let edge = if random.random_bool(0.5) { edge.to_le_bytes() } else { edge.swap_bytes().to_le_bytes() };
            for (byte, new) in bytes[at..].iter_mut().zip(&edge[..width]) {
                *byte = *new;
            }
        }
        3 => drop(bytes.drain(at..(at + len).min(bytes.len()))),
        4 => {
            let part: Vec<u8> = bytes[at..(at + len).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        5 => bytes.truncate(at),
        6 => {
            let other = &target.seeds[random.random_range(0..target.seeds.len())];
            let from = random.random_range(0..=other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            let mut noise = [0; 16];
            random.fill_bytes(&mut noise);
            bytes.splice(at..at, noise[..len].iter().copied());
        }
    }
}

const TYPES: [SqlType; 17] = [
    SqlType::Bool,
    SqlType::Int2,
    SqlType::Int4,
    SqlType::Int8,
    SqlType::Float4,
    SqlType::Float8,
    SqlType::Numeric { precision: 15, scale: 2 },
    SqlType::Numeric { precision: 38, scale: 10 },
    SqlType::Text,
    SqlType::Bytea,
    SqlType::Date,
    SqlType::Time,
    SqlType::Timestamp,
    SqlType::TimestampTz,
    SqlType::Interval,
    SqlType::Uuid,
    SqlType::Char(3),
];

fn values() -> Vec<Datum> {
    let decimal = |unscaled, scale| Datum::Numeric(Decimal { unscaled, scale });
    vec![
        Datum::Bool(true),
        Datum::Int2(-7),
        Datum::Int4(70_000),
        Datum::Int8(-1 << 40),
        Datum::Float4(1.5),
        Datum::Float8(-0.1),
        decimal(-12_345, 2),
        decimal(1 << 100, 10),
        Datum::Text("some text\u{20ac}".into()),
        Datum::Bytea(vec![0, 1, 255].into()),
        Datum::Date(7000),
        Datum::Time(1_000_000),
        Datum::Timestamp(1 << 50),
        Datum::TimestampTz(-5),
        Datum::Interval(Interval::new(1, -2, 3).expect("a short one")),
        Datum::Uuid([9; 16]),
        Datum::Text("ab ".into()),
    ]
}

fn no_seal(_: &mut [u8]) {}

/// Every target.
pub fn targets() -> Vec<Target> {
    let database = SmallDatabase::new();
    let files = database.files();
    let with = |extension: &str| -> Vec<Vec<u8>> {
        let kind = |path: &std::path::Path| path.extension().is_some_and(|e| e == extension);
        files.iter().filter(|(path, bytes)| kind(path) && !bytes.is_empty()).map(|(_, bytes)| bytes.clone()).collect()
    };
    let mut targets = vec![
        Target {
            name: "wal",
            seeds: with("wal"),
            seal: |bytes| wal::fuzzing::seal_log_file(bytes),
            run: |bytes| drop(wal::fuzzing::log_file(bytes)),
            // The copy, a window of 2 MiB at most, a record.
            bytes_per_byte: 64,
        },
        Target {
            name: "manifest",
            seeds: with("mf"),
            seal: |bytes| segments::fuzzing::seal(bytes),
            run: |bytes| {
                if let Ok(manifest) = Manifest::decode("fuzzed.mf".as_ref(), bytes) {
                    drop(catalog::Catalog::decode(&manifest.catalog));
                    assert_eq!(Manifest::decode("again.mf".as_ref(), &manifest.encode()).ok().as_ref(), Some(&manifest));
                }
            },
            bytes_per_byte: 256,
        },
        Target {
            name: "sidecar",
            seeds: with("idx"),
            seal: |bytes| segments::fuzzing::seal(bytes),
            run: |bytes| drop(segments::fuzzing::sidecar(bytes)),
            bytes_per_byte: 256,
        },
        Target {
            name: "deletions",
            seeds: with("dv").iter().map(|file| file[24..file.len() - 4].to_vec()).collect(),
            seal: no_seal,
            run: |bytes| {
                if let Ok(dead) = segments::fuzzing::deletions(bytes, 1 << 17) {
                    assert!(dead.max().is_none_or(|last| last < 1 << 17));
                }
            },
            // A container of 65,536 rows may take 60 KiB on the way.
            bytes_per_byte: 4096,
        },
        Target { name: "dump", seeds: with("rows"), seal: no_seal, run: dump, bytes_per_byte: 256 },
        Target {
            name: "record",
            seeds: records(),
            seal: no_seal,
            run: |bytes| drop(engine::fuzzing::record(bytes)),
            bytes_per_byte: 256,
        },
        Target {
            name: "row",
            seeds: vec![RowLayout::new(&TYPES).encode(&values()).0.to_vec()],
            seal: no_seal,
            run: row,
            bytes_per_byte: 256,
        },
        Target { name: "key", seeds: keys(), seal: no_seal, run: key, bytes_per_byte: 64 },
        Target {
            name: "parameter",
            seeds: parameters(),
            seal: no_seal,
            run: parameter, // A numeric of nine bytes may have 131,072 digits.
            bytes_per_byte: 32 << 10,
        },
        Target {
            name: "before_login",
            seeds: startups(),
            seal: no_seal,
            run: |bytes| drop(server::fuzzing::before_login(bytes)),
            bytes_per_byte: 64,
        },
        Target {
            name: "after_login",
            seeds: messages(),
            seal: no_seal,
            run: |bytes| drop(server::fuzzing::after_login(bytes)),
            bytes_per_byte: 64,
        },
        Target { name: "csv", seeds: texts(), seal: no_seal, run: csv, bytes_per_byte: 256 },
        Target {
            name: "parquet",
            seeds: [with("parquet"), vec![foreign_parquet()]].concat(),
            seal: no_seal,
            run: parquet_file,
            bytes_per_byte: 4096,
        },
    ];
    targets.iter_mut().for_each(|target| target.seeds.retain(|seed| !seed.is_empty()));
    targets
}

fn dump(bytes: &[u8]) {
    let env = SimEnv::new(1);
    let path = std::path::Path::new("/7.rows");
    let file = env.open(path, OpenMode::CreateNew).expect("a new file");
    file.write_all_at(bytes, 0).expect("room");
    let salt = bytes.get(24..32).map_or(0, |salt| u64::from_le_bytes(salt.try_into().expect("eight bytes")));
    let info = DumpInfo { version: 7, bytes: bytes.len() as u64, rows: 3, salt };
    let (table, ts) = match bytes.first_chunk::<24>() {
        Some(header) => {
            (u32::from_le_bytes([header[12], header[13], header[14], header[15]]), header[16..].try_into().expect("eight"))
        }
        None => (0, [0; 8]),
    };
    let read = |mut reader: DumpReader| while let Ok(Some(_)) = reader.next_row() {};
    if let Ok(reader) = DumpReader::open(env.as_ref(), "/".as_ref(), &info, TableId(table), CommitTs(u64::from_le_bytes(ts))) {
        read(reader);
    }
    if let Ok(reader) = DumpReader::salvage(env.as_ref(), "/".as_ref(), &info) {
        read(reader);
    }
}

fn row(bytes: &[u8]) {
    let layout = RowLayout::new(&TYPES);
    if let Ok(row) = layout.decode(bytes) {
        let read = layout.read(&row);
        let values = read.to_datums();
        for value in &values {
            drop(types::text::to_string(value.as_ref()));
        }
    }
}

fn key(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let t = TYPES[usize::from(*which) % TYPES.len()];
    if let Some(value) = segments::fuzzing::key_value(bytes, t) {
        drop(types::text::to_string(value.as_ref()));
    }
}

fn keys() -> Vec<Vec<u8>> {
    let key = |(which, value): (usize, Datum)| {
        let mut bytes = vec![which as u8];
        types::key::encode(value.as_ref(), TYPES[which], &mut bytes);
        bytes
    };
    values().into_iter().enumerate().map(key).collect()
}

fn parameter(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let t = TYPES[usize::from(*which) % TYPES.len()];
    if let Ok(value) = types::binary::parse(t, bytes) {
        drop(types::text::to_string(value.as_ref()));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(types::text::parse(t, text));
    }
}

fn parameters() -> Vec<Vec<u8>> {
    let values = values();
    let binary = values.iter().enumerate().map(|(which, value)| {
        let mut bytes = vec![which as u8];
        types::binary::format(value.as_ref(), TYPES[which], &mut bytes);
        bytes
    });
    let text = values
        .iter()
        .enumerate()
        .map(|(which, value)| [&[which as u8], types::text::to_string(value.as_ref()).as_bytes()].concat());
    binary.chain(text).collect()
}

fn startups() -> Vec<Vec<u8>> {
    let packet = |body: &[u8]| [&(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let start = packet(b"\0\x03\0\0user\0postgres\0database\0shop\0application_name\0x\0\0");
    let response = b"p\0\0\0\x0cSCRAM\0\0\0";
    vec![
        [start.as_slice(), response].concat(),
        packet(b"\x04\xd2\x16\x2f"),
        packet(b"\x04\xd2\x16\x30"),
        packet(b"\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02"),
    ]
}

fn messages() -> Vec<Vec<u8>> {
    let message = |tag: u8, body: &[u8]| [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let all = [
        message(b'Q', b"select 1\0"),
        message(b'P', b"s1\0select $1, $2\0\0\x02\0\0\0\x17\0\0\0\0"),
        message(b'B', b"p1\0s1\0\0\x02\0\0\0\x01\0\x02\0\0\0\x03abc\xff\xff\xff\xff\0\x01\0\x01"),
        message(b'D', b"Ss1\0"),
        message(b'E', b"p1\0\0\0\0\x05"),
        message(b'C', b"Pp1\0"),
        message(b'd', b"1\t2\n"),
        message(b'f', b"no more\0"),
        message(b'F', b"\0\0\0\x05\0\0\0\0\0\0"),
    ];
    all.iter().cloned().chain([all.concat()]).collect()
}

fn records() -> Vec<Vec<u8>> {
    let named = |tag: u8, bytes: &[u8]| [&[tag][..], &7u32.to_le_bytes(), &(bytes.len() as u32).to_le_bytes(), bytes].concat();
    let edit = catalog::Edit::CreateTable(crate::tables::definition(0, 16_384));
    let json = serde_json::to_vec(&edit).expect("edits have string keys only");
    let edit = [&[3][..], &(json.len() as u32).to_le_bytes(), &json].concat();
    let ops = [named(1, b"a row image"), named(2, b"a key"), [&[4][..], &[1; 36]].concat(), [&[5][..], &[2; 21]].concat(), edit];
    let record = |ops: &[u8]| [&9u64.to_le_bytes(), ops].concat();
    ops.iter().map(|op| record(op)).chain([record(&ops.concat())]).collect()
}

fn csv(bytes: &[u8]) {
    let mut input = sql::CopyInput::csv(b',', b"");
    let mut record = sql::CopyRecord::default();
    for part in bytes.chunks(7.max(bytes.len() / 3)) {
        input.push(part);
        while let Ok(true) = input.next(false, &mut record) {
            for field in record.fields.iter().flatten() {
                let _ = record.value(field).len();
            }
        }
    }
    while let Ok(true) = input.next(true, &mut record) {}
}

fn texts() -> Vec<Vec<u8>> {
    vec![
        b"1,abc,\n2,\"d\"\"e\n\",3\r\n".to_vec(),
        b"a,b\n\\.\n".to_vec(),
        "1;\u{e4}\u{f6};\"\"\n\"unfinished".as_bytes().to_vec(),
        b"x\ty\\N\tz\\t\\x41\n\\.\n".to_vec(),
    ]
}

/// Reads as an import does, which takes the decoder's panics for damage: there are some. What is left are hangs and memory.
fn parquet_file(bytes: &[u8]) {
    drop(std::panic::catch_unwind(|| decode_parquet(bytes)));
}

fn decode_parquet(bytes: &[u8]) {
    let Ok(builder) = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes)) else { return };
    let Ok(reader) = builder.with_batch_size(1024).build() else { return };
    for batch in reader.take(64) {
        if batch.is_err() {
            return;
        }
    }
}

fn foreign_parquet() -> Vec<u8> {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8View, true)]);
    let names: StringViewArray = (0..200).map(|n| (n % 3 > 0).then(|| format!("name {}", n % 7))).collect();
    let ids: Int64Array = (0..200).collect();
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(names)]).expect("two columns");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a schema");
    writer.write(&batch).expect("a batch");
    writer.into_inner().expect("a file")
}

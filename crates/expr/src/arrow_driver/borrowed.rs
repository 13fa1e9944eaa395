//! DataFusion's own functions, within their query's limits: arrays and texts of arrays are as long as they make them.
//!
//! ```text
//! string_to_array    an element of one byte takes 16, and as many again in what the array becomes: rows, another array
//! array_to_string    a delimiter for each element, as long as it likes
//! regexp_match       each group of the pattern may be all of the text
//! others             no more than twice what they are given
//! ```
//!
//! 1. Their memory is taken before they are called and given back when the last slice of their result is gone; what was too much, before.
//! 2. Less than [`FREE_BYTES`] is not counted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArrayType};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion::scalar::ScalarValue;

use super::limits::{FREE_BYTES, Limits, counted};

/// A text of up to 12 bytes in an array.
const VIEW_BYTES: usize = 16;
/// A number or a date as text, about.
const WORD_BYTES: usize = 32;
/// What an array becomes is there beside it: rows, another array.
const COPIES: usize = 3;

/// One of DataFusion's functions as it is called here: others than these give as much as they get.
pub(super) fn within_limits(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    if !function.name().contains("array") && function.name() != "regexp_match" {
        return function;
    }
    Arc::new(ScalarUDF::new_from_impl(Borrowed { function }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Borrowed {
    function: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Borrowed {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let limits = match Limits::of(&args.config_options) {
            Some(limits) if grows(args.return_field.data_type()) => limits.clone(),
            _ => return self.function.invoke_with_args(args),
        };
        limits.go_on()?;
        let arrays = args.args.iter().map(|arg| match arg {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(value) => value.to_array(),
        });
        let bytes = bytes_max(self.name(), &arrays.collect::<Result<Vec<ArrayRef>>>()?)?;
        if bytes <= FREE_BYTES {
            return self.function.invoke_with_args(args);
        }
        let reservation = limits.reservation();
        reservation.try_grow(bytes)?;
        let keep = |array: &ArrayRef| {
            reservation.resize(bytes.min(array.get_array_memory_size().saturating_mul(COPIES)));
            counted(array, reservation)
        };
        Ok(match self.function.invoke_with_args(args)? {
            ColumnarValue::Array(array) => ColumnarValue::Array(keep(&array)?),
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(ScalarValue::try_from_array(&keep(&value.to_array()?)?, 0)?),
        })
    }
}

/// Whether values of a type are as long as they are made.
fn grows(t: &DataType) -> bool {
    t.is_nested() || t.is_string()
}

/// What a function makes of its arguments, at most.
fn bytes_max(function: &str, args: &[ArrayRef]) -> Result<usize> {
    let mut given = 0_usize;
    for arg in args {
        given = given.saturating_add(bytes_of(arg)?);
    }
    let twice = given.saturating_mul(2);
    Ok(match (function, args) {
        // There is no shorter delimiter than one byte.
        ("string_to_array", [..]) if given <= FREE_BYTES / (COPIES * VIEW_BYTES) => 0,
        ("string_to_array", [text, delimiter, ..]) => {
            twice.saturating_add(elements_of(text, delimiter).saturating_mul(COPIES * VIEW_BYTES))
        }
        ("array_to_string", [array, words @ ..]) => {
            let between: usize = words.iter().map(longest).sum();
            twice.saturating_add(leaves(array).len().saturating_mul(between.saturating_add(WORD_BYTES)))
        }
        ("regexp_match", [_, pattern, ..]) => twice.saturating_mul(groups_max(pattern) + 1),
        _ => twice,
    })
}

/// Of the values; a text view's own size says nothing of its text.
fn bytes_of(array: &ArrayRef) -> Result<usize> {
    let leaves = leaves(array);
    let mut bytes = leaves.to_data().get_slice_memory_size()?;
    if leaves.data_type() == &DataType::Utf8View {
        each_text(leaves, &mut |_, text| bytes = bytes.saturating_add(text.len()));
    }
    Ok(bytes)
}

/// How many elements texts have that are cut at delimiters.
fn elements_of(texts: &ArrayRef, delimiters: &ArrayRef) -> usize {
    let mut elements = 0;
    each_text(texts, &mut |row, text| {
        let at = if delimiters.len() == 1 { 0 } else { row };
        let mut own = text.len();
        if let Some(delimiter) = text_at(delimiters, at) {
            own = if delimiter.is_empty() { 1 } else { text.matches(delimiter).count() + 1 };
        }
        elements += own;
    });
    elements
}

/// How many groups one of these patterns has, at most.
fn groups_max(patterns: &ArrayRef) -> usize {
    let mut most = 0;
    each_text(patterns, &mut |_, pattern| most = most.max(pattern.matches('(').count()));
    most
}

fn longest(texts: &ArrayRef) -> usize {
    let mut longest = 0;
    each_text(texts, &mut |_, text| longest = longest.max(text.len()));
    longest
}

/// The values of an array's arrays, to the innermost.
fn leaves(array: &ArrayRef) -> &ArrayRef {
    match array.data_type() {
        DataType::List(_) => leaves(array.as_list::<i32>().values()),
        DataType::LargeList(_) => leaves(array.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => leaves(array.as_fixed_size_list().values()),
        _ => array,
    }
}

fn each_text(array: &ArrayRef, each: &mut dyn FnMut(usize, &str)) {
    (0..array.len()).for_each(|row| {
        if let Some(text) = text_at(array, row) {
            each(row, text);
        }
    });
}

fn text_at(array: &ArrayRef, row: usize) -> Option<&str> {
    fn of<'a>(array: impl StringArrayType<'a>, row: usize) -> Option<&'a str> {
        (row < array.len() && array.is_valid(row)).then(|| array.value(row))
    }
    match array.data_type() {
        DataType::Utf8 => of(array.as_string::<i32>(), row),
        DataType::LargeUtf8 => of(array.as_string::<i64>(), row),
        DataType::Utf8View => of(array.as_string_view(), row),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;
    use datafusion::common::config::ConfigOptions;
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
    use datafusion::prelude::SessionContext;

    use super::*;

    fn call(name: &str, args: Vec<ArrayRef>, pool: &Arc<dyn MemoryPool>) -> Result<ArrayRef> {
        let known = SessionContext::new().state();
        let function = within_limits(Arc::clone(&known.scalar_functions()[name]));
        let fields = args.iter().map(|arg| Arc::new(arrow::datatypes::Field::new("a", arg.data_type().clone(), true)));
        let types: Vec<DataType> = args.iter().map(|arg| arg.data_type().clone()).collect();
        let mut options = ConfigOptions::new();
        options.extensions.insert(Limits::new(Arc::clone(pool), Arc::new(|| Ok(()))));
        let result = function.invoke_with_args(ScalarFunctionArgs {
            arg_fields: fields.collect(),
            number_rows: args[0].len(),
            return_field: Arc::new(arrow::datatypes::Field::new("r", function.return_type(&types)?, true)),
            args: args.into_iter().map(ColumnarValue::Array).collect(),
            config_options: Arc::new(options),
        })?;
        result.into_array(1)
    }

    fn text(text: &str) -> ArrayRef {
        Arc::new(StringViewArray::from(vec![text]))
    }

    #[test]
    fn an_array_takes_memory_until_its_last_slice_is_gone() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(64 << 20));
        let array = call("string_to_array", vec![text(&"1,".repeat(1_000_000)), text(",")], &pool).unwrap();
        assert_eq!(array.as_list::<i32>().value(0).len(), 1_000_001);
        assert!(pool.reserved() >= 1_000_001 * COPIES * VIEW_BYTES);
        let slice = array.as_list::<i32>().value(0).slice(5, 3);
        drop(array);
        assert!(pool.reserved() > 0 && slice.as_string_view().value(0) == "1");
        drop(slice);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn what_finds_no_room_is_not_made() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(64 << 20));
        assert!(call("string_to_array", vec![text(&"1,".repeat(2_000_000)), text(",")], &pool).is_err());
        let array = call("string_to_array", vec![text(&"1,".repeat(1000)), text(",")], &pool).unwrap();
        assert_eq!(pool.reserved(), 0, "a little is free");
        assert!(call("array_to_string", vec![Arc::clone(&array), text(&"-".repeat(1_000_000))], &pool).is_err());
        let joined = call("array_to_string", vec![array, text("-")], &pool).unwrap();
        assert_eq!(joined.as_string_opt::<i32>().map_or(0, |t| t.value(0).len()), 2000);
        assert_eq!(pool.reserved(), 0);
        let groups = text(&"(.*)".repeat(20));
        assert!(call("regexp_match", vec![text(&"ab".repeat(1_000_000)), groups], &pool).is_err());
    }

    #[test]
    fn a_number_takes_none() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(64 << 20));
        let array = call("string_to_array", vec![text(&"1,".repeat(1_000_000)), text(",")], &pool).unwrap();
        let before = pool.reserved();
        let length = call("array_length", vec![array], &pool).unwrap();
        assert_eq!(length.as_primitive::<arrow::datatypes::UInt64Type>().value(0), 1_000_001);
        assert!(before > 0 && pool.reserved() == 0);
    }
}

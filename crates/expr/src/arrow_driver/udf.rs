//! A [`Function`] as one of DataFusion's.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature as UdfSignature,
    Volatility, lit,
};
use types::arrow_form::{self, ColumnBuilder};
use types::text::Session;
use types::{Datum, SqlError, SqlType, zone};

use super::limits::{BatchRoom, Limits};
use super::planner::without_blanks;
use super::read::{Reader, is_open};
use super::{cast_udf, raise, undefined, values, vector};
use crate::function::{Arg, Call, Function, Room, Signature, Stability, find, split_name};
use crate::functions::any;

/// The function with this name, with the constant that may be part of it.
pub(super) fn scalar_function(name: &str) -> Option<Arc<ScalarUDF>> {
    let (base, special) = split_name(name);
    let function = find(base)?;
    Some(Arc::new(ScalarUDF::from(FunctionUdf::new(name, function, special))))
}

/// A function that does not exist: planning a call of it fails, naming the types it was called with.
pub(super) fn unknown_function(name: &str) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Unknown { name: name.to_owned(), signature: UdfSignature::user_defined(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Unknown {
    name: String,
    signature: UdfSignature,
}

impl Unknown {
    fn error<T>(&self, arg_types: &[DataType]) -> Result<T> {
        let args: Vec<Arg> = arg_types.iter().map(arg_of).collect();
        Err(raise(undefined(&self.name, &args)))
    }
}

impl ScalarUDFImpl for Unknown {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &UdfSignature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.error(arg_types)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.error(arg_types)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.error(&[])
    }
}

/// See the module's head.
pub(super) struct FunctionUdf {
    name: String,
    function: &'static Function,
    special: Option<String>,
    signature: UdfSignature,
}

impl FunctionUdf {
    fn new(name: &str, function: &'static Function, special: Option<&str>) -> FunctionUdf {
        let volatility = match function.stability {
            Stability::Immutable => Volatility::Immutable,
            Stability::Stable => Volatility::Stable,
        };
        FunctionUdf {
            name: name.to_owned(),
            function,
            special: special.map(str::to_owned),
            signature: UdfSignature::user_defined(volatility),
        }
    }

    fn resolve(&self, args: &[Arg]) -> Result<Signature> {
        (self.function.resolve)(args, self.special.as_deref()).ok_or_else(|| raise(undefined(self.function.name, args)))
    }
}

impl std::fmt::Debug for FunctionUdf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FunctionUdf").field(&self.name).finish()
    }
}

impl PartialEq for FunctionUdf {
    fn eq(&self, other: &FunctionUdf) -> bool {
        self.name == other.name
    }
}

impl Eq for FunctionUdf {}

impl Hash for FunctionUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Functions that take `char(n)` as it is stored.
const COUNTING_BLANKS: [&str; 4] = ["concat", "concat_ws", "octet_length", "similar_to"];

/// Functions whose result is one of their arguments: of `char(n)` they give `char`.
const CHOOSING: [&str; 4] = ["coalesce", "nullif", "greatest", "least"];

/// The type of an argument of a call.
fn arg_of_field(function: &Function, field: &FieldRef) -> Arg {
    match arrow_form::sql_type_of(field) {
        Some(t @ SqlType::Char(_)) if CHOOSING.contains(&function.name) => Some(t),
        _ => arg_of(field.data_type()),
    }
}

fn arg_of(data_type: &DataType) -> Arg {
    if is_open(data_type) { None } else { arrow_form::sql_type(data_type) }
}

/// Zone and time of the session a query runs in.
pub(super) fn session(options: &ConfigOptions, now: Option<i64>) -> Result<Session> {
    match options.execution.time_zone.as_deref() {
        None | Some("UTC") => Ok(Session { now, ..Session::UTC }),
        Some(name) => Ok(Session { zone: zone::named(name).map_err(raise)?, now }),
    }
}

/// When the transaction began, as the simplifier knows it.
pub(super) fn now_of(info: &SimplifyContext) -> Option<i64> {
    info.query_execution_start_time().map(|at| at.timestamp_micros())
}

impl ScalarUDFImpl for FunctionUdf {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        if is_long(args) {
            return Ok(digest(&self.name, args));
        }
        let shown: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        let operator = !self.name.starts_with(|c: char| c.is_ascii_alphabetic());
        Ok(match shown.as_slice() {
            [left, right] if operator => format!("({left} {} {right})", self.name),
            shown => format!("{}({})", self.name, shown.join(",")),
        })
    }

    fn signature(&self) -> &UdfSignature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let args: Vec<Arg> = arg_types.iter().map(arg_of).collect();
        Ok(arrow_form::data_type(self.resolve(&args)?.result))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<Arg> = args.arg_fields.iter().map(|field| arg_of_field(self.function, field)).collect();
        Ok(Arc::new(arrow_form::field(&self.name, self.resolve(&types)?.result, true)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let args: Vec<Arg> = arg_types.iter().map(arg_of).collect();
        if let Some(nested) = arg_types.iter().find(|t| !is_open(t) && arrow_form::sql_type(t).is_none()) {
            return exec_err!("function {} does not take values of type {nested}", self.function.name);
        }
        Ok(self.resolve(&args)?.args.into_iter().map(arrow_form::data_type).collect())
    }

    fn is_strict(&self) -> bool {
        self.function.strict
    }

    fn short_circuits(&self) -> bool {
        self.function.name == "coalesce"
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.function.name {
            "coalesce" => {
                let fields = args.iter().map(|arg| arg.to_field(info.schema())).collect::<Result<Vec<_>>>()?;
                let types: Vec<Arg> = fields.iter().map(|(_, field)| arg_of_field(self.function, field)).collect();
                let t = self.resolve(&types)?.result;
                Ok(ExprSimplifyResult::Simplified(cast_udf::known_as(coalesce(args), t)))
            }
            any::NAME => Ok(match in_list(&args, self.special.as_deref(), info)? {
                Some(list) => ExprSimplifyResult::Simplified(list),
                None => ExprSimplifyResult::Original(args),
            }),
            _ if self.function.stability == Stability::Stable && args.is_empty() => {
                let signature = self.resolve(&[])?;
                let session = session(info.config_options(), now_of(info))?;
                let call = Call { signature: &signature, special: None, session: &session, room: None };
                match self.function.apply(&call, &[]) {
                    Ok(value) => Ok(ExprSimplifyResult::Simplified(lit(values::scalar(&value, signature.result)))),
                    // Reported when it is run.
                    Err(_) => Ok(ExprSimplifyResult::Original(args)),
                }
            }
            _ => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<Arg> = args.arg_fields.iter().map(|field| arg_of_field(self.function, field)).collect();
        let signature = self.resolve(&types)?;
        let counts_blanks = COUNTING_BLANKS.contains(&self.function.name);
        let from: Vec<Option<SqlType>> =
            args.arg_fields.iter().map(|field| arrow_form::sql_type_of(field).filter(|_| !counts_blanks)).collect();
        let session = session(&args.config_options, None)?;
        let call = Call { signature: &signature, special: self.special.as_deref(), session: &session, room: None };
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        if !scalar && let Some(found) = vector::apply(self.function.name, &call, &args.args, &from, rows) {
            return found.map(ColumnarValue::Array);
        }
        let array = by_rows(self.function, &call, &args.args, &from, rows, Limits::of(&args.config_options))?;
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?) } else { ColumnarValue::Array(array) })
    }
}

/// Calls the kernel for each row.
fn by_rows(
    function: &Function,
    call: &Call<'_>,
    args: &[ColumnarValue],
    from: &[Option<SqlType>],
    rows: usize,
    limits: Option<&Limits>,
) -> Result<ArrayRef> {
    // A constant is an array of one row that every row reads.
    let arrays = args
        .iter()
        .map(|arg| match arg {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(value) => value.to_array(),
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let readers = arrays
        .iter()
        .zip(args)
        .enumerate()
        .map(|(at, (array, arg))| {
            let t = call.signature.args.get(at).copied().unwrap_or(SqlType::Text);
            let reader = Reader::new(array, t, from.get(at).copied().flatten())?;
            Ok((reader, matches!(arg, ColumnarValue::Scalar(_)) || array.len() == 1 && rows != 1))
        })
        .collect::<std::result::Result<Vec<_>, SqlError>>()
        .map_err(raise)?;
    let mut builder = ColumnBuilder::new(call.signature.result, rows);
    let mut row_args = Vec::with_capacity(readers.len());
    let mut room = limits.map(BatchRoom::new);
    for row in 0..rows {
        row_args.clear();
        row_args.extend(readers.iter().map(|(reader, constant)| reader.get(if *constant { 0 } else { row })));
        let call = Call { room: room.as_ref().map(|room| room as &dyn Room), ..*call };
        let value = function.apply(&call, &row_args).map_err(raise)?;
        if let Some(room) = &mut room {
            room.add(&value)?;
        }
        builder.append(value.as_ref());
        drop(value);
        if let Some(room) = &mut room {
            room.appended();
        }
    }
    match room {
        Some(room) => room.finish(builder.finish()),
        None => Ok(builder.finish()),
    }
}

/// Parts of a call from which on it is not named by all of them: each call in a chain is named, again by each rule, and a name has those of
/// all within in it.
const NAMED_PARTS_MAX: usize = 64;

/// Whether a call is named by a digest of its arguments.
pub(super) fn is_long(args: &[Expr]) -> bool {
    let mut parts = 0;
    let mut count = |_: &Expr| {
        parts += 1;
        Ok(if parts > NAMED_PARTS_MAX { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    };
    args.iter().any(|arg| matches!(arg.apply(&mut count), Ok(TreeNodeRecursion::Stop)))
}

/// The name of a long call: the same for the same arguments, and no user sees it.
pub(super) fn digest(name: &str, args: &[Expr]) -> String {
    let mut hasher = DefaultHasher::new();
    args.hash(&mut hasher);
    format!("{name}(#{:016x})", hasher.finish())
}

/// `x = ANY (array)` as `x IN (..)`, once the array is known. Where values have several forms, or none can be equal, the function stays.
fn in_list(args: &[Expr], written: Option<&str>, info: &SimplifyContext) -> Result<Option<Expr>> {
    let [wanted, Expr::Literal(array, _)] = args else { return Ok(None) };
    let Some(Datum::Text(array)) = values::datum(array, SqlType::Text) else { return Ok(None) };
    let (_, field) = wanted.to_field(info.schema())?;
    let Some(t) = arrow_form::sql_type_of(&field).filter(|t| *t != SqlType::Interval) else { return Ok(None) };
    // Reported when it is run.
    let Ok(members) = any::members(t, written, &array, &session(info.config_options(), now_of(info))?) else { return Ok(None) };
    if members.values.is_empty() {
        return Ok(None);
    }
    let is_char = matches!(t, SqlType::Char(_));
    let element = |value: &Datum| match value {
        Datum::Text(text) if is_char => lit(ScalarValue::Utf8View(Some(text.trim_end_matches(' ').into()))),
        value => lit(values::scalar(value, t)),
    };
    let null = members.has_null.then(|| lit(values::scalar(&Datum::Null, t)));
    let list = members.values.iter().map(element).chain(null).collect();
    let wanted = if is_char { without_blanks(wanted.clone()) } else { wanted.clone() };
    Ok(Some(wanted.in_list(list, false)))
}

/// `CASE WHEN a IS NOT NULL THEN a WHEN .. ELSE last END`: arguments behind the first that is not NULL are not computed.
fn coalesce(mut args: Vec<Expr>) -> Expr {
    let Some(last) = args.pop() else { return lit(ScalarValue::Null) };
    if args.is_empty() {
        return last;
    }
    let branches = args.into_iter().map(|arg| (Box::new(arg.clone().is_not_null()), Box::new(arg))).collect();
    Expr::Case(Case::new(None, branches, Some(Box::new(last))))
}

//! `sum` and `avg` with PostgreSQL's types, exact and checked.
//!
//! ```text
//! sum(smallint, integer)  bigint      kept in 64 bits: 2^32 rows cannot leave them
//! sum(bigint)             numeric     kept in 128 bits
//! sum(numeric(p,s))       numeric(38,s), 22003 beyond       avg(integers, numeric)   numeric(38, max(s, 16))
//! sum(real, double)       the same                          avg(real, double)        double precision
//! ```
//!
//! Additions are not checked one by one where the types leave room for every row there can be; where they do not, they are.
//! The others are DataFusion's, whose types are PostgreSQL's: `count`, `min`, `max`, `bool_and`, `string_agg` (see `charged`), `stddev`, ...

use std::sync::Arc;

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use types::float::one_nan_f64;
use types::{Decimal, SqlError, SqlState, SqlType, arrow_form};

use self::charged::Charged;
use super::raise;
use crate::rules::{self, DIGITS_MAX};

mod charged;
mod distinct;
mod extreme;
mod grouped;
mod ordered;
mod recomputed;
mod single;

/// The aggregate with this name, if it is one of ours.
pub(super) fn find(name: &str) -> Option<Arc<AggregateUDF>> {
    use std::sync::LazyLock;
    static SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(Aggregate::new(Kind::Sum))));
    static AVG: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(Aggregate::new(Kind::Avg))));
    static MIN: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(extreme::Extreme::min())));
    static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::from(extreme::Extreme::max())));
    static STRING_AGG: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Charged::udaf(string_agg_udaf()));
    static ARRAY_AGG: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Charged::udaf(array_agg_udaf()));
    match name {
        "string_agg" => Some(Arc::clone(&STRING_AGG)),
        "array_agg" => Some(Arc::clone(&ARRAY_AGG)),
        "min" => Some(Arc::clone(&MIN)),
        "max" => Some(Arc::clone(&MAX)),
        "every" => Some(datafusion::functions_aggregate::bool_and_or::bool_and_udaf()),
        "variance" => Some(datafusion::functions_aggregate::variance::var_samp_udaf()),
        "sum" => Some(Arc::clone(&SUM)),
        "avg" | "mean" => Some(Arc::clone(&AVG)),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Avg,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    kind: Kind,
    signature: Signature,
}

impl Aggregate {
    fn new(kind: Kind) -> Aggregate {
        Aggregate { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// How values of one type are added up: in what they are kept, and how one is made wider.
trait Addend: Clone + Send + Sync + 'static {
    type Value: ArrowPrimitiveType + Send;
    type Sum: ArrowPrimitiveType + Send;

    /// A value as what the sum is kept in.
    fn widen(value: <Self::Value as ArrowPrimitiveType>::Native) -> <Self::Sum as ArrowPrimitiveType>::Native;
    /// False if the sum left its range.
    fn add(sum: &mut <Self::Sum as ArrowPrimitiveType>::Native, value: <Self::Sum as ArrowPrimitiveType>::Native) -> bool;
    /// The inverse, for windows.
    fn subtract(sum: &mut <Self::Sum as ArrowPrimitiveType>::Native, value: <Self::Sum as ArrowPrimitiveType>::Native);
    /// The error of a sum that left its range.
    fn overflow() -> SqlError {
        if <Self::Sum as ArrowPrimitiveType>::DATA_TYPE == DataType::Float64 {
            return SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow");
        }
        SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").detail("A sum has more than 38 digits.")
    }
}

macro_rules! addend {
    ($(#[$doc:meta])* $name:ident: $value:ty => $sum:ty, |$v:ident| $widen:expr, $add:expr, $subtract:expr) => {
        $(#[$doc])*
        #[derive(Clone)]
        struct $name;

        impl Addend for $name {
            type Value = $value;
            type Sum = $sum;

            #[inline]
            fn widen($v: <$value as ArrowPrimitiveType>::Native) -> <$sum as ArrowPrimitiveType>::Native {
                $widen
            }

            #[inline]
            fn add(sum: &mut <$sum as ArrowPrimitiveType>::Native, value: <$sum as ArrowPrimitiveType>::Native) -> bool {
                $add(sum, value)
            }

            #[inline]
            fn subtract(sum: &mut <$sum as ArrowPrimitiveType>::Native, value: <$sum as ArrowPrimitiveType>::Native) {
                $subtract(sum, value)
            }
        }
    };
}

macro_rules! wrapping {
    ($t:ty) => {
        |sum: &mut $t, value: $t| {
            *sum = sum.wrapping_add(value);
            true
        }
    };
}

macro_rules! taken_back {
    ($t:ty) => {
        |sum: &mut $t, value: $t| *sum = sum.wrapping_sub(value)
    };
}

/// False if finite numbers gave an infinite one.
fn add_floats(sum: &mut f64, value: f64) -> bool {
    let next = *sum + value;
    let fits = next.is_finite() || !sum.is_finite() || !value.is_finite();
    *sum = next;
    fits
}

addend!(/// 2^48 rows fit.
    SmallInts: Int16Type => Int64Type, |v| i64::from(v), wrapping!(i64), taken_back!(i64));
addend!(/// 2^32 rows fit.
    Integers: Int32Type => Int64Type, |v| i64::from(v), wrapping!(i64), taken_back!(i64));
addend!(/// 2^64 rows fit.
    BigInts: Int64Type => Decimal128Type, |v| i128::from(v), wrapping!(i128), taken_back!(i128));
addend!(/// Of at most 28 digits: 10^10 rows fit.
    Numerics: Decimal128Type => Decimal128Type, |v| v, wrapping!(i128), taken_back!(i128));
addend!(/// Of more digits: every addition is checked.
    LongNumerics: Decimal128Type => Decimal128Type, |v| v,
    |sum: &mut i128, value: i128| match sum.checked_add(value) {
        Some(next) => {
            *sum = next;
            true
        }
        None => false,
    },
    taken_back!(i128));
addend!(/// Added up as doubles.
    Reals: Float32Type => Float64Type, |v| f64::from(v),
    add_floats,
    |sum: &mut f64, value: f64| *sum -= value);
addend!(/// As they are.
    Doubles: Float64Type => Float64Type, |v| v,
    add_floats,
    |sum: &mut f64, value: f64| *sum -= value);

/// Digits beyond which sums of numerics are checked.
const UNCHECKED_DIGITS_MAX: u8 = 28;

/// Runs `$body` with `$a` the addend of a type, or gives `None`.
macro_rules! with_addend {
    ($data_type:expr, $a:ident => $body:expr) => {
        match $data_type {
            DataType::Int16 => Some({
                type $a = SmallInts;
                $body
            }),
            DataType::Int32 => Some({
                type $a = Integers;
                $body
            }),
            DataType::Int64 => Some({
                type $a = BigInts;
                $body
            }),
            DataType::Decimal128(precision, _) if *precision <= UNCHECKED_DIGITS_MAX => Some({
                type $a = Numerics;
                $body
            }),
            DataType::Decimal128(..) => Some({
                type $a = LongNumerics;
                $body
            }),
            DataType::Float32 => Some({
                type $a = Reals;
                $body
            }),
            DataType::Float64 => Some({
                type $a = Doubles;
                $body
            }),
            _ => None,
        }
    };
}

/// The type a sum is kept in.
fn sum_type(of: &DataType) -> DataType {
    match of {
        DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::Int64 => DataType::Decimal128(DIGITS_MAX, 0),
        DataType::Decimal128(_, scale) => DataType::Decimal128(DIGITS_MAX, *scale),
        _ => DataType::Float64,
    }
}

/// What `sum` or `avg` of a type gives.
fn result(kind: Kind, of: SqlType) -> Option<SqlType> {
    match (kind, of) {
        (Kind::Sum, SqlType::Float4 | SqlType::Float8) => Some(of),
        (Kind::Avg, SqlType::Float4 | SqlType::Float8) => Some(SqlType::Float8),
        (Kind::Sum, of) => rules::sum(of),
        (Kind::Avg, of) => rules::average(of),
    }
}

/// How a sum of `count` values becomes the result.
#[derive(Clone, Debug)]
struct Finish {
    kind: Kind,
    /// Digits behind the point of the sum.
    sum_scale: u8,
    result: DataType,
}

impl Finish {
    fn new(kind: Kind, of: &DataType, result: &DataType) -> Finish {
        let sum_scale = match sum_type(of) {
            DataType::Decimal128(_, scale) => scale.max(0) as u8,
            _ => 0,
        };
        Finish { kind, sum_scale, result: result.clone() }
    }

    /// The value for a sum kept as an integer or the digits of a decimal.
    fn whole(&self, sum: i128, count: u64) -> Result<i128> {
        match (self.kind, &self.result) {
            (Kind::Sum, DataType::Decimal128(..)) => crate::decimal::bounded(sum).map_err(raise),
            (Kind::Sum, _) => Ok(sum),
            (Kind::Avg, DataType::Decimal128(_, scale)) => {
                let sum = Decimal { unscaled: sum, scale: self.sum_scale };
                crate::decimal::average(sum, count, scale.unsigned_abs()).map(|v| v.unscaled).map_err(raise)
            }
            (Kind::Avg, _) => Err(raise(SqlError::bug("an average of integers that is no numeric"))),
        }
    }

    /// The value for a sum of floats.
    fn float(&self, sum: f64, count: u64) -> f64 {
        one_nan_f64(match self.kind {
            Kind::Sum => sum,
            Kind::Avg => sum / count as f64,
        })
    }
}

impl AggregateUDFImpl for Aggregate {
    /// In capitals: DataFusion's rule for DISTINCT knows `sum` by its name and takes its result to have its argument's type.
    fn name(&self) -> &str {
        match self.kind {
            Kind::Sum => "SUM",
            Kind::Avg => "AVG",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name().to_lowercase();
        let [arg] = arg_types else {
            return Err(raise(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} takes one argument"))));
        };
        let found = match arg {
            // A string constant, or NULL.
            DataType::Utf8 | DataType::Null => Some(DataType::Float64),
            _ => arrow_form::sql_type(arg).filter(|t| result(self.kind, *t).is_some()).map(arrow_form::data_type),
        };
        found.map(|t| vec![t]).ok_or_else(|| raise(super::undefined(&name, &[arrow_form::sql_type(arg)])))
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let of = arg_types.first().and_then(arrow_form::sql_type);
        match of.and_then(|of| result(self.kind, of)) {
            Some(t) => Ok(arrow_form::data_type(t)),
            None => Err(raise(super::undefined(&self.name().to_lowercase(), &[of]))),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let of = args.expr_fields[0].data_type().clone();
        let finish = Finish::new(self.kind, &of, args.return_type());
        let made: Option<Box<dyn Accumulator>> = with_addend!(&of, A => if args.is_distinct {
            Box::new(distinct::Distinct::<A>::new(of.clone(), finish)) as Box<dyn Accumulator>
        } else {
            Box::new(single::Single::<A>::new(sum_type(&of), finish)) as Box<dyn Accumulator>
        });
        made.ok_or_else(|| raise(SqlError::bug(format!("{} of {of}", self.name()))))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let of = args.expr_fields[0].data_type().clone();
        let finish = Finish::new(self.kind, &of, args.return_type());
        match of {
            DataType::Float32 => Ok(Box::new(recomputed::Recomputed::<Reals>::new(sum_type(&of), finish))),
            DataType::Float64 => Ok(Box::new(recomputed::Recomputed::<Doubles>::new(sum_type(&of), finish))),
            _ => self.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let of = args.input_fields[0].data_type();
        if args.is_distinct {
            let item = Field::new_list_field(of.clone(), true);
            let name = format_state_name(args.name, "values");
            return Ok(vec![Arc::new(Field::new(name, DataType::List(Arc::new(item)), false))]);
        }
        let sum = Field::new(format_state_name(args.name, "sum"), sum_type(of), true);
        let count = Field::new(format_state_name(args.name, "count"), DataType::UInt64, true);
        Ok(match self.kind {
            Kind::Sum => vec![Arc::new(sum)],
            Kind::Avg => vec![Arc::new(sum), Arc::new(count)],
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let of = args.expr_fields[0].data_type().clone();
        let finish = Finish::new(self.kind, &of, args.return_type());
        let made: Option<Box<dyn GroupsAccumulator>> = with_addend!(&of, A => match self.kind {
            Kind::Sum => Box::new(grouped::Sums::<A>::new(sum_type(&of), finish)) as Box<dyn GroupsAccumulator>,
            Kind::Avg => Box::new(grouped::Averages::<A>::new(sum_type(&of), finish)) as Box<dyn GroupsAccumulator>,
        });
        made.ok_or_else(|| raise(SqlError::bug(format!("{} of {of}", self.name()))))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
        datafusion::logical_expr::utils::AggregateOrderSensitivity::Insensitive
    }
}

/// A value of the result's type out of a sum, for any kind of sum.
trait FromSum: ArrowPrimitiveType {
    /// The value; `None` is NULL.
    fn scalar(finish: &Finish, sum: Self::Native, count: u64) -> Result<ScalarValue>;
    /// All values of an array.
    fn array(
        finish: &Finish,
        sums: Vec<Self::Native>,
        counts: Option<&[u64]>,
        nulls: Option<arrow::buffer::NullBuffer>,
    ) -> Result<arrow::array::ArrayRef>;
}

mod finish;

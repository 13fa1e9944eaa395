//! System relations and functions inside of queries that DataFusion runs: those that read tables too, and what views, CREATE TABLE AS
//! and INSERT .. SELECT are made of. A relation is a table in memory, made when the query is planned.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use analytic::SystemTables;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Schema};
use catalog::Sequence;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use engine::Begin;
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, SqlError, SqlState, SqlType};

use super::functions::{self, Function};
use super::kind::{self, Kind};
use super::objects::SEQUENCE_COLUMNS;
use super::run::Run;
use super::store::Store;
use super::system_plan::SystemPlan;
use super::value::Value;
use super::{Moment, cast, data, route};
use crate::names::{Scope, always_quoted};
use crate::session::Session;

/// Arguments of any function there is.
const ARGUMENTS_MAX: usize = 4;

/// One session's system relations. Notes whether any of them was used: a plan that holds one is good for one execution.
pub(crate) struct System {
    store: Arc<Store>,
    used: AtomicBool,
}

impl System {
    pub(crate) fn of(session: &mut Session) -> System {
        System { store: Arc::new(Store::new(Moment::of(session))), used: AtomicBool::new(false) }
    }

    /// Whether a relation or function was asked for and found.
    pub(crate) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    fn note(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    fn relation(&self, shape: &data::Shape) -> Result<Arc<dyn TableProvider>, SqlError> {
        let moment = &self.store.moment;
        let names = Scope { catalog: &moment.catalog, database: moment.database, search_path: &moment.search_path };
        let text = format!("SELECT * FROM {}.{}", always_quoted(shape.schema), always_quoted(shape.name));
        let plan = SystemPlan::of_query(names, &*crate::parse::parse_query(&text)?)?;
        let rows = plan.run(Arc::clone(&self.store), &[], None)?;
        let columns = plan.columns();
        let mut builders: Vec<ColumnBuilder> = columns.iter().map(|c| ColumnBuilder::new(c.data_type, rows.len())).collect();
        for row in 0..rows.len() {
            for (at, builder) in builders.iter_mut().enumerate() {
                builder.append(rows.datum(row, at).as_ref());
            }
        }
        let bug = |error: &dyn fmt::Display| SqlError::bug(format!("make a table of {}: {error}", shape.name));
        let fields = columns.iter().map(|c| arrow_form::field(&c.name, c.data_type, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays: Vec<ArrayRef> = builders.iter_mut().map(ColumnBuilder::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|error| bug(&error))?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]]).map_err(|error| bug(&error))?))
    }
}

impl SystemTables for System {
    fn table(&self, schema: &str, name: &str) -> Option<Result<Arc<dyn TableProvider>, SqlError>> {
        let shape = data::shape(schema, name)?;
        self.note();
        Some(self.relation(shape))
    }

    fn sequence(&self, sequence: &Sequence) -> Result<Arc<dyn TableProvider>, SqlError> {
        self.note();
        let moment = &self.store.moment;
        // Planned before it begins, it is planned again.
        let sequences = moment.sequences.clone();
        let sequences = sequences.unwrap_or_else(|| moment.instance.engine().begin(Begin::default()).sequences());
        let at = sequences.position(sequence);
        let values = [Datum::Int8(at.value), Datum::Int8(0), Datum::Bool(at.called)];
        let column = |((name, kind), value): ((&str, Kind), Datum)| {
            let t = kind::shown(kind);
            let mut builder = ColumnBuilder::new(t, 1);
            builder.append(value.as_ref());
            (arrow_form::field(name, t, true), builder.finish())
        };
        let (fields, arrays): (Vec<_>, Vec<ArrayRef>) = SEQUENCE_COLUMNS.into_iter().zip(values).map(column).unzip();
        let bug = |error: &dyn fmt::Display| SqlError::bug(format!("make a table of sequence {}: {error}", sequence.name));
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|error| bug(&error))?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]]).map_err(|error| bug(&error))?))
    }

    fn function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let found = |arguments| route::system_function(name, arguments);
        let volatile = (0..=ARGUMENTS_MAX).filter_map(found).reduce(|one, other| one || other)?;
        self.note();
        let volatility = if volatile { Volatility::Volatile } else { Volatility::Stable };
        Some(Arc::new(ScalarUDF::from(SystemFunction {
            name: name.to_owned(),
            signature: Signature::user_defined(volatility),
            store: Arc::clone(&self.store),
        })))
    }
}

/// A function of this module as one of DataFusion's.
struct SystemFunction {
    name: String,
    signature: Signature,
    store: Arc<Store>,
}

impl fmt::Debug for SystemFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SystemFunction").field(&self.name).finish()
    }
}

impl PartialEq for SystemFunction {
    fn eq(&self, other: &SystemFunction) -> bool {
        self.name == other.name
    }
}

impl Eq for SystemFunction {}

impl Hash for SystemFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

fn kind_of(data_type: &DataType) -> Kind {
    arrow_form::sql_type(data_type).map_or(kind::UNKNOWN, SqlType::oid)
}

fn raise(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl SystemFunction {
    fn resolve(&self, kinds: &[Kind]) -> DataFusionResult<Function> {
        functions::find(&self.name, kinds).ok_or_else(|| {
            let given: Vec<String> = kinds.iter().map(|k| kind::format(*k, None)).collect();
            let message = format!("function {}({}) does not exist", self.name, given.join(", "));
            raise(SqlError::new(SqlState::UNDEFINED_FUNCTION, message))
        })
    }
}

impl ScalarUDFImpl for SystemFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, arg_types: &[DataType]) -> DataFusionResult<DataType> {
        let kinds: Vec<Kind> = arg_types.iter().map(kind_of).collect();
        Ok(arrow_form::data_type(kind::shown(self.resolve(&kinds)?.returns)))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        let kinds: Vec<Kind> = args.arg_fields.iter().map(|field| kind_of(field.data_type())).collect();
        Ok(Arc::new(arrow_form::field(&self.name, kind::shown(self.resolve(&kinds)?.returns), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<DataFusionResult<Vec<_>>>()?;
        let kinds: Vec<Kind> = arrays.iter().map(|array| kind_of(array.data_type())).collect();
        let function = self.resolve(&kinds)?;
        let run = Run::new(&self.store, &[], None);
        let mut out = ColumnBuilder::new(kind::shown(function.returns), args.number_rows);
        for row in 0..args.number_rows {
            let read = |(array, kind): (&ArrayRef, &Kind)| match SqlType::from_oid(*kind) {
                Some(t) => Value::of_datum(arrow_form::datum_at(array, row, t)),
                None => Value::Null,
            };
            let values: Vec<Value> = arrays.iter().zip(&kinds).map(read).collect();
            let value = function.call(&run, &values, &kinds).map_err(raise)?;
            out.append(cast::shown(&self.store, &value, function.returns).as_ref());
        }
        Ok(ColumnarValue::Array(out.finish()))
    }
}

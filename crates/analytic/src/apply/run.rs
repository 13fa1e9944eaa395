//! Running it: for each batch, the subquery's value for each key, found once.
//!
//! 1. A value is remembered for its key, in [`MEMO_BYTES_MAX`] for all partitions of one Apply together; beyond that it forgets all.
//! 2. The subquery is planned again for each key: its constants are then the key's, and it is pruned by them.
//! 3. A row for which the guard is not true gets NULL.
//! 4. No row is NULL, two rows are 21000.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_empty_array};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream, execute_stream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use parking_lot::Mutex;
use types::{SqlError, SqlState};

use super::node::Apply;
use super::references::{Values, substitute};
use crate::errors;
use crate::session::StatementSession;

/// Bytes of keys and values remembered: some hundred thousand short ones.
const MEMO_BYTES_MAX: usize = 32 << 20;

/// Bytes an entry takes besides its key and its value's own.
const ENTRY_BYTES: usize = 64;

/// How an [`Apply`] is planned.
pub(crate) struct Planner;

#[async_trait]
impl ExtensionPlanner for Planner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(apply), [logical], [input]) = (node.as_any().downcast_ref::<Apply>(), logical_inputs, physical_inputs) else {
            return Ok(None);
        };
        let Some(session) = session.as_any().downcast_ref::<StatementSession>() else {
            return Err(errors::raise(SqlError::bug("an Apply is planned outside of a statement")));
        };
        let mut keys = Vec::new();
        let mut names = Vec::new();
        for key in &apply.keys {
            keys.push(planner.create_physical_expr(&key.value, logical.schema(), session, context)?);
            let (_, field) = key.value.to_field(logical.schema())?;
            names.push((key.name.clone(), field));
        }
        let guard = match &apply.guard {
            Some(guard) => Some(planner.create_physical_expr(guard, logical.schema(), session, context)?),
            None => None,
        };
        let runner =
            SubqueryRunner { names, template: Arc::clone(&apply.template), session: session.clone(), memo: Mutex::new(Memo::default()) };
        Ok(Some(Arc::new(ApplyExec::new(Arc::clone(input), keys, guard, Arc::new(runner), apply))))
    }
}

#[derive(Default)]
struct Memo {
    values: HashMap<Box<[u8]>, ScalarValue>,
    bytes: usize,
}

impl Memo {
    fn insert(&mut self, key: &[u8], value: ScalarValue) {
        let bytes = ENTRY_BYTES + key.len() + value.size();
        if self.bytes + bytes > MEMO_BYTES_MAX {
            *self = Memo::default();
        }
        self.bytes += bytes;
        self.values.insert(key.into(), value);
    }
}

/// What all partitions share.
struct SubqueryRunner {
    /// What the subquery calls each key, and the field it has in the input.
    names: Vec<(Column, FieldRef)>,
    template: Arc<LogicalPlan>,
    session: StatementSession,
    memo: Mutex<Memo>,
}

impl SubqueryRunner {
    /// The subquery's value for every row that `wanted` is true for, NULL for the others.
    async fn values(&self, keys: &[ArrayRef], wanted: Option<&BooleanArray>, rows: usize, schema: &Schema) -> Result<ArrayRef> {
        let column = schema.fields().len() - 1;
        if rows == 0 {
            return Ok(new_empty_array(schema.field(column).data_type()));
        }
        let encoded = match keys {
            [] => None,
            keys => {
                let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
                Some(RowConverter::new(fields)?.convert_columns(keys)?)
            }
        };
        let mut found = Vec::with_capacity(rows);
        for row in 0..rows {
            if wanted.is_some_and(|wanted| wanted.is_null(row) || !wanted.value(row)) {
                found.push(ScalarValue::try_from(schema.field(column).data_type())?);
                continue;
            }
            let encoded = encoded.as_ref().map(|rows| rows.row(row));
            let key = encoded.as_ref().map_or(&[][..], |row| row.as_ref());
            let known = self.memo.lock().values.get(key).cloned();
            found.push(match known {
                Some(value) => value,
                None => {
                    let values = keys.iter().map(|key| ScalarValue::try_from_array(key, row)).collect::<Result<Vec<_>>>()?;
                    let value = self.run(values, schema).await?;
                    self.memo.lock().insert(key, value.clone());
                    value
                }
            });
        }
        ScalarValue::iter_to_array(found)
    }

    /// The subquery's value for one key.
    async fn run(&self, key: Vec<ScalarValue>, schema: &Schema) -> Result<ScalarValue> {
        let values: Values =
            self.names.iter().zip(key).map(|((name, field), value)| (name.clone(), (value, Arc::clone(field)))).collect();
        let plan = super::rewrite(substitute(&self.template, &values)?)?;
        let optimized = self.session.optimize_plan(plan)?;
        let physical = self.session.physical_plan(&optimized).await?;
        let mut stream = execute_stream(physical, Arc::clone(self.session.task()))?;
        let mut found = None;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if batch.num_rows() + usize::from(found.is_some()) > 1 {
                let message = "more than one row returned by a subquery used as an expression";
                return Err(errors::raise(SqlError::new(SqlState::CARDINALITY_VIOLATION, message)));
            }
            if batch.num_rows() == 1 {
                found = Some(ScalarValue::try_from_array(batch.column(0), 0)?);
            }
        }
        let wanted = schema.field(schema.fields().len() - 1).data_type();
        match found {
            Some(value) if value.data_type() != *wanted => value.cast_to(wanted),
            Some(value) => Ok(value),
            None => ScalarValue::try_from(wanted),
        }
    }
}

struct ApplyExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    guard: Option<Arc<dyn PhysicalExpr>>,
    runner: Arc<SubqueryRunner>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl ApplyExec {
    fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        guard: Option<Arc<dyn PhysicalExpr>>,
        runner: Arc<SubqueryRunner>,
        apply: &Apply,
    ) -> ApplyExec {
        ApplyExec::over(input, keys, guard, runner, Arc::clone(UserDefinedLogicalNode::schema(apply).inner()))
    }

    fn over(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        guard: Option<Arc<dyn PhysicalExpr>>,
        runner: Arc<SubqueryRunner>,
        schema: SchemaRef,
    ) -> ApplyExec {
        let below = input.properties();
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            below.partitioning.clone(),
            below.emission_type,
            below.boundedness,
        ));
        ApplyExec { input, keys, guard, runner, schema, properties }
    }
}

impl fmt::Debug for ApplyExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyExec").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl DisplayAs for ApplyExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "ApplyExec: keys=[{}]", keys.join(", "))
    }
}

impl ExecutionPlan for ApplyExec {
    fn name(&self) -> &'static str {
        "ApplyExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.keys.iter().chain(&self.guard) {
            f(expr)?;
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) {
            Ok([input]) => {
                let (keys, guard) = (self.keys.clone(), self.guard.clone());
                Ok(Arc::new(ApplyExec::over(input, keys, guard, Arc::clone(&self.runner), Arc::clone(&self.schema))))
            }
            Err(children) => Err(errors::raise(SqlError::bug(format!("an Apply of {} inputs", children.len())))),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (keys, guard) = (self.keys.clone(), self.guard.clone());
        let (runner, schema) = (Arc::clone(&self.runner), Arc::clone(&self.schema));
        let batches = input.then(move |batch| {
            let (keys, guard, runner, schema) = (keys.clone(), guard.clone(), Arc::clone(&runner), Arc::clone(&schema));
            async move {
                let batch = batch?;
                let values = keys
                    .iter()
                    .map(|key| key.evaluate(&batch)?.into_array(batch.num_rows()))
                    .collect::<Result<Vec<ArrayRef>>>()?;
                let wanted = match &guard {
                    Some(guard) => Some(guard.evaluate(&batch)?.into_array(batch.num_rows())?),
                    None => None,
                };
                let wanted = wanted.as_ref().map(|wanted| as_boolean_array(wanted)).transpose()?;
                let value = runner.values(&values, wanted, batch.num_rows(), &schema).await?;
                let columns = batch.columns().iter().cloned().chain([value]).collect();
                Ok(RecordBatch::try_new(schema, columns)?)
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

//! Running it: for each batch, the subquery's value for each key.
//!
//! 1. A value is remembered for its key, in [`MEMO_BYTES_MAX`] for all partitions of one Apply together, of the memory that queries
//!    have together. What has no room makes it forget all; then a value is found again. Partitions do not wait for one another.
//!    Of a volatile subquery nothing is remembered.
//! 2. The subquery is planned again for each key: its constants are then the key's, and it is pruned by them.
//! 3. A row for which not all guards are true gets NULL, and no key is computed for it.
//! 4. No row is NULL, two rows are 21000.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array, new_empty_array, new_null_array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
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
        let guards = apply.guards.iter().map(|guard| planner.create_physical_expr(guard, logical.schema(), session, context));
        let guards = guards.collect::<Result<Vec<_>>>()?;
        let memo = match is_volatile(&apply.template)? {
            true => None,
            false => Some(Mutex::new(Memo::new(&session.task().runtime_env().memory_pool))),
        };
        let runner = Arc::new(SubqueryRunner { names, template: Arc::clone(&apply.template), session: session.clone(), memo });
        let schema = Arc::clone(UserDefinedLogicalNode::schema(apply).inner());
        Ok(Some(Arc::new(ApplyExec::new(Arc::clone(input), keys, guards, runner, schema))))
    }
}

/// Whether a plan calls a function that gives another value, or does something, each time.
pub(crate) fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.is_volatile();
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found)
}

struct Memo {
    values: HashMap<Box<[u8]>, ScalarValue>,
    memory: MemoryReservation,
}

impl Memo {
    fn new(pool: &Arc<dyn MemoryPool>) -> Memo {
        Memo { values: HashMap::new(), memory: MemoryConsumer::new("subquery values").register(pool) }
    }

    fn insert(&mut self, key: &[u8], value: ScalarValue) {
        // Another partition may have computed it at the same time.
        if self.values.contains_key(key) {
            return;
        }
        let bytes = ENTRY_BYTES + key.len() + value.size();
        if self.memory.size() + bytes > MEMO_BYTES_MAX || self.memory.try_grow(bytes).is_err() {
            self.values = HashMap::new();
            self.memory.free();
            if self.memory.try_grow(bytes).is_err() {
                return;
            }
        }
        self.values.insert(key.into(), value);
    }
}

/// What all partitions share.
struct SubqueryRunner {
    /// What the subquery calls each key, and the field it has in the input.
    names: Vec<(Column, FieldRef)>,
    template: Arc<LogicalPlan>,
    session: StatementSession,
    /// `None`: nothing is remembered, since the subquery is volatile.
    memo: Option<Mutex<Memo>>,
}

impl SubqueryRunner {
    /// The subquery's value for every row.
    async fn values(&self, keys: &[ArrayRef], rows: usize, schema: &Schema) -> Result<ArrayRef> {
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
            let encoded = encoded.as_ref().map(|rows| rows.row(row));
            let key = encoded.as_ref().map_or(&[][..], |row| row.as_ref());
            let known = self.memo.as_ref().and_then(|memo| memo.lock().values.get(key).cloned());
            found.push(match known {
                Some(value) => value,
                None => {
                    let values = keys.iter().map(|key| ScalarValue::try_from_array(key, row)).collect::<Result<Vec<_>>>()?;
                    let value = self.run(values, schema).await?;
                    if let Some(memo) = &self.memo {
                        memo.lock().insert(key, value.clone());
                    }
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

pub(crate) struct ApplyExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    guards: Vec<Arc<dyn PhysicalExpr>>,
    runner: Arc<SubqueryRunner>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl ApplyExec {
    fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        guards: Vec<Arc<dyn PhysicalExpr>>,
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
        ApplyExec { input, keys, guards, runner, schema, properties }
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
        for expr in self.keys.iter().chain(&self.guards) {
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
                let (keys, guards) = (self.keys.clone(), self.guards.clone());
                Ok(Arc::new(ApplyExec::new(input, keys, guards, Arc::clone(&self.runner), Arc::clone(&self.schema))))
            }
            Err(children) => Err(errors::raise(SqlError::bug(format!("an Apply of {} inputs", children.len())))),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (keys, guards): (Arc<[_]>, Arc<[_]>) = (self.keys.as_slice().into(), self.guards.as_slice().into());
        let (runner, schema) = (Arc::clone(&self.runner), Arc::clone(&self.schema));
        let batches = input.then(move |batch| {
            let (keys, guards) = (Arc::clone(&keys), Arc::clone(&guards));
            let (runner, schema) = (Arc::clone(&runner), Arc::clone(&schema));
            async move {
                let batch = batch?;
                let (rows, wanted) = where_true(&guards, &batch)?;
                let keys = keys.iter().map(|key| key.evaluate(&wanted)?.into_array(wanted.num_rows()));
                let keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
                let values = runner.values(&keys, wanted.num_rows(), &schema).await?;
                let values = spread(&values, &rows, batch.num_rows())?;
                let columns = batch.columns().iter().cloned().chain([values]).collect();
                Ok(RecordBatch::try_new(schema, columns)?)
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

/// The rows for which all guards are true: their numbers, and they.
fn where_true(guards: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<(Vec<usize>, RecordBatch)> {
    let mut rows: Vec<usize> = (0..batch.num_rows()).collect();
    let mut batch = batch.clone();
    for guard in guards {
        let passed = guard.evaluate(&batch)?.into_array(batch.num_rows())?;
        let passed = as_boolean_array(&passed)?;
        rows = rows.into_iter().zip(passed).filter_map(|(row, passed)| (passed == Some(true)).then_some(row)).collect();
        batch = filter_record_batch(&batch, passed)?;
    }
    Ok((rows, batch))
}

/// The values at these of `count` rows, NULL at the others.
fn spread(values: &ArrayRef, rows: &[usize], count: usize) -> Result<ArrayRef> {
    if rows.len() == count {
        return Ok(Arc::clone(values));
    }
    if rows.is_empty() {
        return Ok(new_null_array(values.data_type(), count));
    }
    let mut from = vec![None; count];
    for (at, row) in rows.iter().enumerate() {
        from[*row] = Some(at as u64);
    }
    Ok(take(values, &UInt64Array::from(from), None)?)
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[test]
    fn a_memo_without_room_forgets_and_goes_on() {
        let entry = ENTRY_BYTES + 4 + ScalarValue::Int32(Some(0)).size();
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(3 * entry));
        let mut memo = Memo::new(&pool);
        for key in 0..7i32 {
            memo.insert(&key.to_le_bytes(), ScalarValue::Int32(Some(key)));
            assert_eq!(memo.values.len(), key as usize % 3 + 1, "{key}");
            assert_eq!(pool.reserved(), memo.values.len() * entry);
        }
        let taken = MemoryConsumer::new("another").register(&pool);
        taken.try_grow(2 * entry).unwrap();
        memo.insert(b"last", ScalarValue::Int32(None));
        assert_eq!(memo.values.len(), 1);
        drop(memo);
        assert_eq!(pool.reserved(), 2 * entry);
    }
}
